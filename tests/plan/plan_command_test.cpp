// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "coordinator/plan_schedule.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ScheduleMakespan, OneGangDoesOneThingAfterTheOther) {
  EXPECT_DOUBLE_EQ(schedule_makespan({{1, {}}, {2, {}}, {3, {}}}, 1), 6);
  EXPECT_DOUBLE_EQ(schedule_makespan({}, 1), 0);
}

TEST(ScheduleMakespan, GangsShareWhatIsReady) {
  EXPECT_DOUBLE_EQ(schedule_makespan({{3, {}}, {2, {}}, {2, {}}}, 2), 4);
  EXPECT_DOUBLE_EQ(schedule_makespan({{3, {}}, {2, {}}, {2, {}}}, 9), 3);
  // A trunk of 5, then four branches of 1 on two gangs.
  EXPECT_DOUBLE_EQ(schedule_makespan({{5, {}}, {1, {0}}, {1, {0}}, {1, {0}}, {1, {0}}}, 2), 7);
}

TEST(ScheduleMakespan, AChainCannotBeShared) {
  EXPECT_DOUBLE_EQ(schedule_makespan({{1, {}}, {1, {0}}, {1, {1}}}, 8), 3);
}

TEST(ScheduleMakespan, AStageThatAllWaitForHasAllThreads) {
  const PlannedJob trunk{6, {}, 4};
  EXPECT_DOUBLE_EQ(schedule_makespan({trunk, {1, {0}}, {1, {0}}}, 2), 5);
  // Something else can start beside it: no.
  EXPECT_DOUBLE_EQ(schedule_makespan({trunk, {1, {}}, {1, {0}}}, 2), 7);
}

TEST(ScheduleMakespan, ADecisionTakesNoTimeButHoldsBack) {
  // Jobs 0 and 1, a decision on both, then job 3; job 4 needs only job 0.
  EXPECT_DOUBLE_EQ(schedule_makespan({{1, {}}, {4, {}}, {0, {0, 1}}, {1, {2}}, {2, {0}}}, 2), 5);
}

class PlanCommand : public SweepTest {
 protected:
  static std::string hash(const std::string& path) {
    return std::filesystem::path(path).filename().string();
  }
  // A worker that says: pretraining 100 s, training 10 s, all else 1 s; 1 token is 6 FLOPs.
  static std::string answer(const std::string& request) {
    const nlohmann::json asked = nlohmann::json::parse(request);
    nlohmann::json stages = nlohmann::json::array();
    for (const nlohmann::json& text : asked.at("stages")) {
      config::StageSpec spec;
      parse_canonical(text.get<std::string>(), spec);
      EXPECT_EQ(stage_key(spec), spec.key());
      const bool is_pretrain = spec.label() == "pretrain";
      const int tokens = is_pretrain ? 1000 : spec.has_train() ? 100 : 0;
      const double seconds = is_pretrain ? 100 : spec.has_train() ? 10 : 1;
      stages.push_back({{"key", spec.key()},
                        {"tokens", tokens},
                        {"flops", 6 * tokens},
                        {"seconds", seconds},
                        {"seconds_low", seconds / 2},
                        {"seconds_high", seconds * 2},
                        {"memory_bytes", is_pretrain ? 5000 : 1000},
                        {"checkpoint_bytes", spec.has_train() ? 400 : 10}});
    }
    return nlohmann::json{{"stages", stages}}.dump();
  }
  static PlanReport report(const std::string& text, const SiteFacts& site = {}) {
    return plan_sweep(load(text), hash, answer, site);
  }
};

TEST_F(PlanCommand, CountsWithAndWithoutSharing) {
  const PlanReport out = report(valid());  // 4 trials on one pretrained base
  EXPECT_EQ(out.trials, 4);
  EXPECT_EQ(out.tuning_trials, 0);
  EXPECT_EQ(out.stages_unshared, 16);
  EXPECT_EQ(out.stages, 10);
  EXPECT_DOUBLE_EQ(out.train_tokens_unshared, 4 * 1100);
  EXPECT_DOUBLE_EQ(out.train_tokens, 1000 + 4 * 100);
  EXPECT_DOUBLE_EQ(out.train_flops_unshared, 6 * 4400);
  EXPECT_DOUBLE_EQ(out.train_flops, 6 * 1400);
  EXPECT_DOUBLE_EQ(out.memory_bytes_per_rank, 5000);
  EXPECT_DOUBLE_EQ(out.checkpoint_bytes, 5 * 400 + 5 * 10);
  // tokenizer 3, five train stages 4 each, four evaluations 2 each, 16 of the campaign, one log.
  EXPECT_EQ(out.files, 3 + 20 + 8 + 17);
}

TEST_F(PlanCommand, TrunksAreCountedOnceAndOnlyWithSharing) {
  // A trunk of 60 tokens; two runs of 100, of which it has done 60.
  const auto ask = [](const std::string& request) {
    const nlohmann::json asked = nlohmann::json::parse(request);
    nlohmann::json document = nlohmann::json::parse(answer(request));
    for (nlohmann::json& stage : document.at("stages")) {
      config::StageSpec spec;
      for (const nlohmann::json& text : asked.at("stages")) {
        parse_canonical(text.get<std::string>(), spec);
        if (spec.key() == stage.at("key")) {
          break;
        }
      }
      if (spec.train().trunk()) {
        stage.update({{"tokens", 60}, {"tokens_unshared", 0}, {"flops_unshared", 0}});
      } else if (spec.train().has_start()) {
        stage.update({{"tokens", 40}, {"tokens_unshared", 100}, {"flops_unshared", 600}});
      }
    }
    return document.dump();
  };
  std::vector<std::string> lines = valid_lines();
  lines[11] = "    - train: {schedule: wsd}";
  lines[15] = "  seed: [1]";
  const PlanReport out = plan_sweep(load(joined_lines(lines)), hash, ask, {});
  EXPECT_EQ(out.stages, 2 + 1 + 2 + 2);
  EXPECT_DOUBLE_EQ(out.train_tokens, 1000 + 60 + 40 + 40);
  EXPECT_DOUBLE_EQ(out.train_tokens_unshared, 2 * 1100);
  ASSERT_EQ(out.sharing.size(), 1U);
  EXPECT_THAT(plan_text(out), HasSubstr("sharing   train: 2 runs start from 1 trunk\n"));
  EXPECT_THAT(plan_json(out), HasSubstr("\"trunks\": 1"));
}

TEST_F(PlanCommand, TimeFollowsGangsAndStartUp) {
  // tokenizer 1, pretraining 100, then 4 times (10 + 1); ten hand-overs of 0.01 and 0.6 to start.
  EXPECT_NEAR(report(valid()).predicted_seconds, 145 + 0.1 + 0.6, 1e-9);
  const PlanReport two = report(valid() + "resources: {gangs: 2}\n");
  EXPECT_NEAR(two.predicted_seconds, 101 + 22 + 0.06 + 0.6, 1e-9);
  EXPECT_NEAR(two.predicted_seconds_low, (101 + 22) / 2.0 + 0.06 + 0.6, 1e-9);
  EXPECT_NEAR(two.predicted_seconds_high, (101 + 22) * 2.0 + 0.06 + 0.6, 1e-9);
}

TEST_F(PlanCommand, UndecidedTrialsArePlannedAtAValueThatIsTried) {
  const std::string tuned =
      valid() +
      "tune: {fields: [train.learning_rate], per: [train.data_budget], metric: held_out.loss,\n"
      "  geometric: {from: 2e-3, to: 8e-3, points: 3}}\n";
  const PlanReport out = report(tuned);
  EXPECT_EQ(out.trials, 10);
  EXPECT_EQ(out.tuning_trials, 6);
  EXPECT_EQ(out.stages_unshared, 40);
  EXPECT_EQ(out.stages, 2 + 20 - 4);  // one trial of each group was a tuning trial already
  // Four gangs: tuning of a group (3 x 11 s) may not overlap its own trials.
  const PlanReport wide = report(tuned + "resources: {gangs: 64}\n");
  EXPECT_NEAR(wide.predicted_seconds, 101 + 11 + 11 + 0.06 + 0.6, 1e-9);
}

TEST_F(PlanCommand, LimitsOfThePlaceAreChecked) {
  SiteFacts site;
  site.free_bytes = 2000;
  site.free_files = 1e6;
  site.memory_bytes = 10000;
  site.cores = 2;
  const PlanReport out = report(valid() + "resources: {gangs: 4}\n", site);
  ASSERT_EQ(out.limits.size(), 4U);
  EXPECT_EQ(out.limits[0].what, "disk_bytes");
  EXPECT_FALSE(out.limits[0].ok);  // 2050
  EXPECT_TRUE(out.limits[1].ok);
  EXPECT_FALSE(out.limits[2].ok);  // 4 x 5000
  EXPECT_FALSE(out.limits[3].ok);  // 4 threads on 2 cores
  EXPECT_THAT(plan_text(out), HasSubstr("disk 2.00 KiB of 1.95 KiB  <- too much"));
  EXPECT_TRUE(report(valid()).limits.empty());  // nothing known, nothing claimed
}

TEST_F(PlanCommand, ThreadsAreSharedOut) {
  config::Resources resources;
  resources.set_gangs(2);
  resources.set_ranks_per_gang(2);
  EXPECT_EQ(threads_per_rank(resources, 16), 4);
  EXPECT_EQ(threads_per_rank(resources, 2), 1);
  resources.set_threads_per_rank(3);
  EXPECT_EQ(threads_per_rank(resources, 2), 3);
}

TEST_F(PlanCommand, ExamplesInBothPlacesAreAWarning) {
  const PlanReport out =
      report(with_line(8, "  eval: [{name: held_out, path: train.jsonl, limit: 3}]"));
  ASSERT_EQ(out.warnings.size(), 1U);
  EXPECT_THAT(out.warnings[0], HasSubstr("3 examples of eval set held_out are in data.train too"));
  EXPECT_THAT(plan_text(out), HasSubstr("warning   3 examples"));
}

TEST_F(PlanCommand, JsonHasTheNamesOfTheContract) {
  SiteFacts site;
  site.free_bytes = 1e9;
  const nlohmann::json document = nlohmann::json::parse(plan_json(report(valid(), site)));
  for (const char* name :
       {"trials", "stages_unshared", "stages", "train_flops_unshared", "train_flops",
        "train_tokens_unshared", "train_tokens", "predicted_seconds", "memory_bytes_per_rank",
        "checkpoint_bytes", "files"}) {
    EXPECT_TRUE(document.at(name).is_number()) << name;
  }
  EXPECT_EQ(document.at("predicted_seconds_interval").size(), 2U);
  EXPECT_LE(document["predicted_seconds_interval"][0], document["predicted_seconds"]);
  EXPECT_GE(document["predicted_seconds_interval"][1], document["predicted_seconds"]);
  for (const char* name : {"what", "value", "limit", "ok"}) {
    EXPECT_TRUE(document.at("limits").at(0).contains(name)) << name;
  }
  EXPECT_EQ(document["train_tokens"], 1400);
}

TEST_F(PlanCommand, TextForPeople) {
  const std::string text = plan_text(report(valid()));
  EXPECT_EQ(text,
            "plan of words: 4 trials\n"
            "  stages    10 (without sharing 1.60 x)\n"
            "  training  1.40 k tokens (without sharing 3.14 x), 8.4e+03 FLOPs (without sharing "
            "3.14 x)\n"
            "  sharing   train: 2 budgets trained apart: the rate depends on the length of the run "
            "from the first step on; schedule: wsd would share\n"
            "  time      about 2 min (73 s to 5 min) on 1 gang of 1 rank, 1 thread each\n"
            "  memory    4.88 KiB a rank\n"
            "  disk      2.00 KiB in 48 files\n");
}

TEST_F(PlanCommand, ABadAnswerIsAProtocolError) {
  const config::Sweep sweep = load(valid());
  for (const char* bad : {"", "{}", "{\"stages\": []}", "{\"stages\": [{\"key\": \"x\"}]}"}) {
    try {
      static_cast<void>(plan_sweep(sweep, hash, [&](const std::string&) { return bad; }, {}));
      FAIL() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kProtocol) << bad;
    }
  }
}

TEST(ReadSite, KnowsThisMachine) {
  const SiteFacts site = read_site("not/there/yet");
  EXPECT_GT(site.free_bytes, 0);
  EXPECT_GT(site.memory_bytes, 0);
  EXPECT_GE(site.cores, 1);
}

}  // namespace
}  // namespace finescale
