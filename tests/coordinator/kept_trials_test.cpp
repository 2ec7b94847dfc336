// SPDX-License-Identifier: Apache-2.0
#include "coordinator/kept_trials.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kTune =
    "tune: {fields: [train.learning_rate], per: [train.data_budget], metric: held_out.loss,\n"
    "  trials: 2}\n";

class KeptTrialsTest : public SweepTest {
 protected:
  // The trials that a campaign stores after it was planned with this text.
  static std::vector<PlannedTrial> trials(const std::string& text,
                                          const std::vector<PlannedTrial>& stored = {},
                                          const TunedValues& tuned = {}) {
    const config::Sweep sweep = load(text);
    Plan plan = make_plan(sweep, content, tuned);
    keep_trials(stored, sweep, "runs/here", plan);
    return plan.trials;
  }
  static std::string content(const std::string& path) {
    return std::filesystem::path(path).filename().string();
  }
  static std::string refused(const std::string& text, const std::vector<PlannedTrial>& stored) {
    try {
      (void)trials(text, stored);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      return describe(error);
    }
    return "";
  }
  static std::vector<std::string> ids(const std::vector<PlannedTrial>& trials) {
    std::vector<std::string> out;
    for (const PlannedTrial& trial : trials) {
      out.push_back(trial.id);
    }
    return out;
  }
  // Every stored trial is still there, under its name and with its stages.
  static void expect_kept(const std::vector<PlannedTrial>& before,
                          const std::vector<PlannedTrial>& after) {
    for (const PlannedTrial& trial : before) {
      const auto found = std::find_if(after.begin(), after.end(),
                                      [&](const PlannedTrial& t) { return t.id == trial.id; });
      ASSERT_NE(found, after.end()) << trial.id;
      EXPECT_EQ(found->stages, trial.stages) << trial.id;
      EXPECT_EQ(found->tuned, trial.tuned) << trial.id;
      EXPECT_TRUE(std::includes(found->axes.begin(), found->axes.end(), trial.axes.begin(),
                                trial.axes.end()))
          << trial.id;
    }
    std::vector<std::string> names = ids(after);
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::unique(names.begin(), names.end()), names.end()) << "a name is given twice";
  }
};

TEST_F(KeptTrialsTest, AnUnchangedSweepKeepsItsNames) {
  const auto stored = trials(valid());
  EXPECT_THAT(ids(stored), ElementsAre("t0001", "t0002", "t0003", "t0004"));
  EXPECT_EQ(ids(trials(valid(), stored)), ids(stored));
}

TEST_F(KeptTrialsTest, NewValuesGetTheNextNumbersWhereverTheyStand) {
  const auto stored = trials(valid());
  const auto grown = trials(with_line(16, "  seed: [3, 1, 2]"), stored);
  expect_kept(stored, grown);
  EXPECT_THAT(ids(grown), ElementsAre("t0005", "t0001", "t0002", "t0006", "t0003", "t0004"));
}

TEST_F(KeptTrialsTest, ACampaignGrowsMoreThanOnce) {
  const auto first = trials(valid());
  const auto second = trials(with_line(15, "  train.data_budget: [5, 7, 10]"), first);
  std::string text = with_line(15, "  train.data_budget: [4, 5, 7, 10]");
  const auto third = trials(text + "  train.epochs: [1, 2]\n", second);
  expect_kept(first, third);
  expect_kept(second, third);
  EXPECT_EQ(third.size(), 16U);
}

TEST_F(KeptTrialsTest, ANewAxisCountsWithTheValueThatItsFieldHad) {
  const auto stored = trials(valid());
  const auto grown = trials(valid() + "  train.epochs: [2, 1, 3]\n", stored);
  expect_kept(stored, grown);
  for (const PlannedTrial& trial : grown) {
    EXPECT_EQ(trial.axes.at("train.epochs") == "1", trial.id <= "t0004") << trial.id;
  }
}

TEST_F(KeptTrialsTest, AMethodMayBecomeAnAxis) {
  const auto stored = trials(valid());
  const auto grown = trials(valid() + "  train.method: [full, {lora: {rank: 4}}]\n", stored);
  expect_kept(stored, grown);
  EXPECT_THAT(grown[1].axes.at("train.method"), HasSubstr("rank: 4"));
  EXPECT_EQ(grown[1].id, "t0001");
}

TEST_F(KeptTrialsTest, ANewAxisWithoutThatValueIsRefused) {
  EXPECT_THAT(refused(valid() + "  train.epochs: [2, 3]\n", trials(valid())),
              AllOf(HasSubstr("is not in the sweep any more (nor are others: 3)"),
                    HasSubstr("needs the value that its field had"), HasSubstr("train.epochs=1")));
}

TEST_F(KeptTrialsTest, MoreRandomDrawsKeepTheEarlierOnes) {
  const std::string axes =
      with_line(15, "  train.data_budget: {linear: {from: 1, to: 20, points: 20}}");
  const auto stored = trials(axes + "search: {random: {trials: 6}}\n");
  const auto more = trials(axes + "search: {random: {trials: 11}}\n", stored);
  EXPECT_EQ(more.size(), 11U);
  expect_kept(stored, more);
}

TEST_F(KeptTrialsTest, AMissingTrialIsNamed) {
  EXPECT_THAT(refused(with_line(16, "  seed: [1]"), trials(valid())),
              HasSubstr("t0002 (seed=2, train.data_budget=5) of this campaign is not in the sweep "
                        "any more (nor are others: 1)"));
}

TEST_F(KeptTrialsTest, OtherStagesUnderTheSameAxesAreRefused) {
  auto stored = trials(valid());
  stored[2].stages.back() = "another key";
  EXPECT_THAT(refused(valid(), stored),
              AllOf(HasSubstr("t0003 (seed=1, train.data_budget=10) would run other stages"),
                    HasSubstr("its data or the program changed")));
}

TEST_F(KeptTrialsTest, ADecidedCampaignGrowsByAGroup) {
  const TunedValues tuned = {{"train.data_budget=5", {{"train.learning_rate", "0.004"}}},
                             {"train.data_budget=10", {{"train.learning_rate", "0.00025"}}}};
  const auto stored = trials(valid() + kTune, {}, tuned);
  const std::string text = with_line(15, "  train.data_budget: [5, 7, 10]");
  const auto grown = trials(text + kTune, stored, tuned);
  expect_kept(stored, grown);
  std::map<std::string, int> count;
  for (const PlannedTrial& trial : grown) {
    ++count[std::string(trial.is_tuning ? "tuning" : "trial") +
            (trial.resolved ? "" : " that waits")];
    EXPECT_EQ(trial.id.starts_with("tune-"), trial.is_tuning);
  }
  EXPECT_EQ(count["tuning"], 6);
  EXPECT_EQ(count["trial"], 4);
  EXPECT_EQ(count["trial that waits"], 2);
}

TEST_F(KeptTrialsTest, ATuningDecisionKeepsTheNames) {
  const auto stored = trials(valid() + kTune);
  const TunedValues tuned = {{"train.data_budget=5", {{"train.learning_rate", "0.004"}}}};
  EXPECT_EQ(ids(trials(valid() + kTune, stored, tuned)), ids(stored));
}

TEST_F(KeptTrialsTest, AValueInFrontOfATunedSweepIsRefusedWithTheReason) {
  const auto stored = trials(valid() + kTune);
  expect_kept(stored, trials(with_line(16, "  seed: [1, 2, 0]") + kTune, stored));
  EXPECT_THAT(refused(with_line(16, "  seed: [0, 1, 2]") + kTune, stored),
              AllOf(HasSubstr("tune-000"), HasSubstr("put new values behind the old ones")));
}

}  // namespace
}  // namespace finescale
