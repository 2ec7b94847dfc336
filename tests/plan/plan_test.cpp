// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr const char* kTune =
    "tune: {fields: [train.learning_rate], per: [train.data_budget], at: {seed: 2},\n"
    "  metric: held_out.loss, trials: 3}\n";

class PlanTest : public SweepTest {
 protected:
  static Plan plan(const std::string& text, const TunedValues& tuned = {}) {
    return make_plan(load(text), hash, tuned);
  }
  static std::string hash(const std::string& path) {
    return std::filesystem::path(path).filename().string();
  }
  static std::vector<std::string> ids(const Plan& plan) {
    std::vector<std::string> out;
    for (const PlannedTrial& trial : plan.trials) {
      out.push_back(trial.id);
    }
    return out;
  }
  static void expect_sound(const Plan& plan) {
    std::set<std::string> seen;
    for (const std::string& key : plan.graph.keys()) {
      for (const std::string& input : plan.graph.stages.inputs(key)) {
        EXPECT_TRUE(seen.contains(input)) << key << " comes in front of its input " << input;
      }
      EXPECT_TRUE(seen.insert(key).second);
      EXPECT_EQ(plan.graph.stages.at(key).key(), key);
    }
    EXPECT_EQ(seen.size(), plan.graph.stages.size());
    std::set<std::string> used;
    for (const PlannedTrial& trial : plan.trials) {
      EXPECT_EQ(trial.stages.size(), trial.names.size());
      EXPECT_EQ(trial.resolved, !trial.stages.empty());
      used.insert(trial.stages.begin(), trial.stages.end());
    }
    EXPECT_EQ(used, seen);
  }
};

TEST_F(PlanTest, TheLastAxisIsTheFastest) {
  const Plan out = plan(valid());
  EXPECT_THAT(ids(out), ElementsAre("t0001", "t0002", "t0003", "t0004"));
  EXPECT_THAT(out.trials[1].axes,
              UnorderedElementsAre(Pair("train.data_budget", "5"), Pair("seed", "2")));
  EXPECT_THAT(out.trials[2].axes,
              UnorderedElementsAre(Pair("train.data_budget", "10"), Pair("seed", "1")));
  expect_sound(out);
}

TEST_F(PlanTest, EqualStagesAreMerged) {
  const Plan out = plan(valid());
  EXPECT_EQ(out.stages_unshared, 16);        // 4 trials of 4
  EXPECT_THAT(out.graph.order, SizeIs(10));  // tokenizer and pretraining once
  EXPECT_EQ(out.graph.stages.at(out.graph.keys()[0]).label(), "tokenizer");
  EXPECT_EQ(out.graph.stages.at(out.graph.keys()[1]).label(), "pretrain");
}

TEST_F(PlanTest, AnAxisThatDoesNotMatterSharesEverything) {
  const Plan out = plan(with_line(16, "  train.log_every: [1, 5]"));
  EXPECT_EQ(out.stages_unshared, 16);
  EXPECT_THAT(out.graph.order, SizeIs(6));
  EXPECT_EQ(out.trials[0].stages, out.trials[1].stages);
}

TEST_F(PlanTest, IsTheSameEveryTime) {
  const Plan one = plan(valid() + kTune);
  const Plan two = plan(valid() + kTune);
  EXPECT_EQ(ids(one), ids(two));
  EXPECT_EQ(one.graph.keys(), two.graph.keys());
}

TEST_F(PlanTest, WithoutAxesThereIsOneTrial) {
  std::string text = valid();
  text.resize(text.find("axes:"));
  const Plan out = plan(text);
  EXPECT_THAT(ids(out), ElementsAre("t0001"));
  EXPECT_THAT(out.trials[0].axes, IsEmpty());
}

TEST_F(PlanTest, RandomSearchDrawsDifferentPointsOfTheGrid) {
  const std::string axes =
      with_line(15, "  train.data_budget: {linear: {from: 1, to: 20, points: 20}}");
  const auto drawn = [&](int seed) {
    const Plan out =
        plan(axes + "search: {random: {trials: 15, seed: " + std::to_string(seed) + "}}\n");
    std::set<std::map<std::string, std::string>> points;
    for (const PlannedTrial& trial : out.trials) {
      points.insert(trial.axes);
    }
    EXPECT_EQ(points.size(), 15U);
    return points;
  };
  EXPECT_EQ(drawn(1), drawn(1));
  EXPECT_NE(drawn(1), drawn(2));
}

TEST_F(PlanTest, RandomSearchOfAHugeGridIsQuick) {
  std::string text = with_line(15, "  train.data_budget: {linear: {from: 1, to: 20, points: 20}}");
  for (const char* field : {"learning_rate", "weight_decay", "eps", "clip_norm", "epochs"}) {
    text += std::string("  train.") + field + ": {linear: {from: 0.1, to: 0.9, points: 50}}\n";
  }
  EXPECT_THAT(plan(text + "search: {random: {trials: 3}}\n").trials, SizeIs(3));
  EXPECT_THAT(error_of(text), ::testing::HasSubstr("more than 10000000 points"));
}

TEST_F(PlanTest, TuningTrialsComeFirstAndTheOthersWait) {
  const Plan out = plan(valid() + kTune);
  EXPECT_THAT(ids(out), ElementsAre("tune-0001", "tune-0002", "tune-0003", "tune-0004", "tune-0005",
                                    "tune-0006", "t0001", "t0002", "t0003", "t0004"));
  const PlannedTrial& first = out.trials[0];
  EXPECT_TRUE(first.is_tuning);
  EXPECT_EQ(first.tune_group, "train.data_budget=5");
  EXPECT_THAT(first.axes, UnorderedElementsAre(Pair("train.data_budget", "5"), Pair("seed", "2")));
  EXPECT_THAT(first.tuned, ElementsAre(Pair("train.learning_rate", "0.00025")));
  EXPECT_THAT(out.trials[1].tuned, ElementsAre(Pair("train.learning_rate", "0.001")));
  EXPECT_THAT(out.trials[2].tuned, ElementsAre(Pair("train.learning_rate", "0.004")));
  for (std::size_t i = 6; i < 10; ++i) {
    EXPECT_FALSE(out.trials[i].resolved);
    EXPECT_THAT(out.trials[i].stages, IsEmpty());
  }
  EXPECT_EQ(out.trials[6].tune_group, "train.data_budget=5");
  EXPECT_EQ(out.trials[9].tune_group, "train.data_budget=10");
  EXPECT_EQ(out.stages_unshared, 24);
  expect_sound(out);
}

TEST_F(PlanTest, AValueIsTriedWithSeveralSeeds) {
  const Plan out = plan(valid() +
                            "tune: {fields: [train.learning_rate], per: [train.data_budget], "
                            "metric: held_out.loss, trials: 3, seeds: 2}\n",
                        {{"train.data_budget=5", {{"train.learning_rate", "0.001"}}}});
  ASSERT_THAT(out.trials, SizeIs(16));
  for (std::size_t i = 0; i < 12; ++i) {
    ASSERT_TRUE(out.trials[i].is_tuning);
    EXPECT_EQ(out.trials[i].axes.at("seed"), i % 2 == 0 ? "1" : "2");
    EXPECT_EQ(out.trials[i].tuned, out.trials[i - i % 2].tuned);
  }
  EXPECT_NE(out.trials[0].tuned, out.trials[2].tuned);
  EXPECT_EQ(out.trials[2].stages, out.trials[12].stages) << "trials of the value taken are done";
  EXPECT_EQ(out.trials[3].stages, out.trials[13].stages);
  expect_sound(out);
}

TEST_F(PlanTest, ADecidedGroupIsResolvedAndNothingElseMoves) {
  const Plan before = plan(valid() + kTune);
  const Plan after =
      plan(valid() + kTune, {{"train.data_budget=10", {{"train.learning_rate", "0.004"}}}});
  EXPECT_EQ(ids(before), ids(after));
  EXPECT_FALSE(after.trials[6].resolved);
  ASSERT_TRUE(after.trials[8].resolved);
  EXPECT_THAT(after.trials[8].tuned, ElementsAre(Pair("train.learning_rate", "0.004")));
  const config::StageSpec train = after.graph.stages.at(after.trials[8].stages[2]);
  EXPECT_EQ(train.train().train().learning_rate(), 0.004);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(before.trials[i].stages, after.trials[i].stages);
  }
  // The trial of the seed that was tuned is the winning tuning trial itself.
  EXPECT_EQ(after.trials[9].stages, after.trials[5].stages);
  expect_sound(after);
}

TEST_F(PlanTest, OneGroupWithoutPer) {
  const Plan out = plan(valid() +
                        "tune: {fields: [train.weight_decay], metric: held_out.loss,\n"
                        "  geometric: {from: 0.01, to: 1, points: 3}}\n");
  EXPECT_EQ(out.trials[0].tune_group, "all");
  EXPECT_THAT(out.trials[1].tuned, ElementsAre(Pair("train.weight_decay", "0.1")));
  EXPECT_THAT(out.trials[0].axes,
              UnorderedElementsAre(Pair("train.data_budget", "5"), Pair("seed", "1")));
  EXPECT_THAT(out.trials, SizeIs(7));
}

TEST_F(PlanTest, CombinationsThatBreakARuleAreNamed) {
  const config::Sweep sweep =
      load(with_line(16, "  train.eval_every: [5, 0]\n  train.keep: [last, best]"));
  try {
    static_cast<void>(make_plan(sweep, hash, {}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_STREQ(error.what(),
                 "trial t0004: trial.stages[0].train.keep is best, which needs eval_every");
  }
}

TEST_F(PlanTest, EveryPresetOfAnAxisIsPretrained) {
  const Plan out = plan(with_line(16, "  base.preset: [tiny, small]"));
  std::set<std::string> pretrained;
  for (const std::string& key : out.graph.keys()) {
    if (out.graph.stages.at(key).label() == "pretrain") {
      pretrained.insert(key);
    }
  }
  EXPECT_THAT(pretrained, SizeIs(2));
  EXPECT_THAT(out.graph.order, SizeIs(1 + 2 + 4 + 4));  // one tokenizer
}

}  // namespace
}  // namespace finescale
