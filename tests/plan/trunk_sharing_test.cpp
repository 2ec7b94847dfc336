// SPDX-License-Identifier: Apache-2.0
#include "coordinator/trunk_sharing.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/canonical.h"
#include "coordinator/plan.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TrunkSharingTest : public SweepTest {
 protected:
  static std::string sweep(const std::string& train, const std::string& axes) {
    std::vector<std::string> lines = valid_lines();
    lines[11] = "    - train: {method: {lora: {rank: 4}}, " + train + "}";
    lines.resize(14);
    return joined_lines(lines) + axes;
  }
  static Plan plan(const std::string& text, const TunedValues& tuned = {}) {
    return make_plan(
        load(text),
        [](const std::string& path) { return std::filesystem::path(path).filename().string(); },
        tuned);
  }
  static int count(const Plan& plan, const std::string& label) {
    const std::vector<std::string> keys = plan.graph.keys();
    return static_cast<int>(std::count_if(keys.begin(), keys.end(), [&](const std::string& key) {
      return plan.graph.stages.at(key).label() == label;
    }));
  }
  // The train stage of a trial.
  static config::StageSpec run(const Plan& plan, std::size_t trial) {
    return plan.graph.stages.at(plan.trials.at(trial).stages.at(2));
  }
  static config::StageSpec start(const Plan& plan, const config::StageSpec& spec) {
    return plan.graph.stages.at(spec.train().start());
  }
};

constexpr const char* kBudgets = "  train.data_budget: [4, 8, 16]\n";

TEST_F(TrunkSharingTest, EachBudgetGoesOnFromAChainOfTrunks) {
  const Plan out = plan(sweep("schedule: wsd", kBudgets));
  EXPECT_EQ(count(out, "trunk"), 2);  // nothing else reaches the third budget
  const config::StageSpec& first = start(out, run(out, 0));
  const config::StageSpec& second = start(out, run(out, 1));
  EXPECT_EQ(first.train().train().data_budget(), 4);
  EXPECT_EQ(second.train().train().data_budget(), 8);
  EXPECT_FALSE(first.train().has_start());
  EXPECT_EQ(second.train().start(), first.key());
  EXPECT_EQ(run(out, 2).train().start(), second.key());
  EXPECT_EQ(run(out, 2).inputs(run(out, 2).inputs_size() - 1), second.key());
  ASSERT_THAT(out.sharing, SizeIs(1));
  EXPECT_EQ(out.sharing[0].runs, 3);
  EXPECT_EQ(out.sharing[0].trunks, 2);
}

TEST_F(TrunkSharingTest, KeysOfRunsStay) {
  const Plan shared = plan(sweep("schedule: wsd", kBudgets));
  const Plan apart = plan(sweep("schedule: wsd", kBudgets) + "resources: {share_trunks: false}\n");
  EXPECT_EQ(count(apart, "trunk"), 0);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(shared.trials[i].stages, apart.trials[i].stages);
  }
  for (const std::string& key : shared.graph.keys()) {
    EXPECT_EQ(stage_key(shared.graph.stages.at(key)), key);
  }
  EXPECT_EQ(shared.stages_unshared, apart.stages_unshared);
}

TEST_F(TrunkSharingTest, InputsComeFirstWhateverTheOrderOfBudgets) {
  const Plan out =
      plan(sweep("schedule: wsd", "  train.data_budget: [16, 4, 8]\n  seed: [1, 2]\n"));
  EXPECT_EQ(count(out, "trunk"), 4);
  std::set<std::string> seen;
  for (const std::string& key : out.graph.keys()) {
    for (const std::string& input : out.graph.stages.inputs(key)) {
      EXPECT_TRUE(seen.contains(input));
    }
    seen.insert(key);
  }
  EXPECT_EQ(seen.size(), out.graph.stages.size());
}

TEST_F(TrunkSharingTest, WhatOnlyMattersBehindTheTrunkSharesItToo) {
  const Plan out = plan(sweep("schedule: {wsd: {}}",
                              "  train.data_budget: [4, 8]\n"
                              "  train.schedule.wsd.final_ratio: [0, 0.1]\n"));
  EXPECT_EQ(count(out, "trunk"), 2);  // both budgets are reached by two runs
  EXPECT_EQ(run(out, 0).train().start(), run(out, 1).train().start());
  EXPECT_EQ(run(out, 2).train().start(), run(out, 3).train().start());
}

TEST_F(TrunkSharingTest, WhyNotIsSaid) {
  const auto why = [](const std::string& train) {
    const Plan out = plan(sweep(train, kBudgets));
    EXPECT_EQ(count(out, "trunk"), 0);
    return out.sharing.empty() ? std::string() : out.sharing.front().why_not;
  };
  EXPECT_THAT(why("schedule: cosine"), HasSubstr("schedule: wsd would share"));
  EXPECT_THAT(why("schedule: wsd, epochs: 2"), HasSubstr("epochs: 1 would share"));
  EXPECT_THAT(why("schedule: wsd, steps: 5"), HasSubstr("bounded by steps"));
  EXPECT_THAT(plan(sweep("schedule: cosine", "  seed: [1, 2]\n")).sharing, IsEmpty());
}

TEST_F(TrunkSharingTest, SeedsAndMethodsHaveTrunksOfTheirOwn) {
  const Plan out =
      plan(sweep("schedule: constant",
                 "  train.method: [full, {lora: {rank: 2}}]\n  train.data_budget: [4, 8]\n"
                 "  seed: [1, 2]\n"));
  EXPECT_EQ(count(out, "trunk"), 4);
}

TEST_F(TrunkSharingTest, TuningTrialsRunWhole) {
  const std::string text =
      sweep("schedule: wsd", kBudgets) +
      "tune: {fields: [train.learning_rate], at: {train.data_budget: 8}, metric: held_out.loss,\n"
      "  geometric: {from: 1e-3, to: 4e-3, points: 3}}\n";
  EXPECT_EQ(count(plan(text), "trunk"), 0);
  const Plan out = plan(text, {{"all", {{"train.learning_rate", "0.002"}}}});
  EXPECT_EQ(count(out, "trunk"), 1);  // of budgets 4 and 16; that of 8 was trained by the tuning
  EXPECT_EQ(run(out, 3 + 2).train().start(), run(out, 3).train().start());
  EXPECT_FALSE(run(out, 3 + 1).train().has_start());
}

}  // namespace
}  // namespace finescale
