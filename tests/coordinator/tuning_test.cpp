// SPDX-License-Identifier: Apache-2.0
#include "coordinator/tuning.h"

#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace finescale {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

class TuningTest : public testing::Test {
 protected:
  TuningTest() { tune_.set_metric("held_out.loss"); }

  // A tuning trial of one stage.
  void add(const std::string& group, const std::string& value, StageState state,
           double measured = 0, const std::string& metric = "loss") {
    PlannedTrial trial;
    trial.id = "tune-" + std::to_string(trials_.size() + 1);
    trial.is_tuning = true;
    trial.tune_group = group;
    trial.tuned = {{"train.learning_rate", value}};
    trial.stages = {"key of " + trial.id};
    StageEntry entry;
    entry.stored.key = trial.stages[0];
    StoredStage& stage = stages_.add(entry)->stored;
    stage.state = state;
    if (state == StageState::kDone) {
      proto::StageResult result;
      proto::EvalRow* row = result.add_evals();
      row->set_set("held_out");
      row->set_metric(metric);
      row->set_value(measured);
      stage.result = result.SerializeAsString();
    }
    trials_.push_back(std::move(trial));
  }
  [[nodiscard]] std::map<std::string, std::string> winners() const {
    std::map<std::string, std::string> out;
    for (const TuningDecision& one : tuning_decisions(tune_, trials_, stages_, decided_)) {
      out[one.group] = one.values.at("train.learning_rate");
    }
    return out;
  }
  [[nodiscard]] std::set<std::string> lost() const {
    return undecidable_groups(tune_, trials_, stages_, decided_);
  }

  config::Tune tune_;
  std::vector<PlannedTrial> trials_;
  StageEntries stages_;
  TunedValues decided_;
};

TEST_F(TuningTest, EachGroupTakesItsLowestLoss) {
  add("a", "1", StageState::kDone, 2.0);
  add("b", "1", StageState::kDone, 1.0);
  add("a", "2", StageState::kDone, 1.5);
  add("b", "2", StageState::kDone, 3.0);
  EXPECT_THAT(winners(), ElementsAre(Pair("a", "2"), Pair("b", "1")));
  EXPECT_EQ(tuning_decisions(tune_, trials_, stages_, decided_)[0].metric, 1.5);
  EXPECT_THAT(lost(), IsEmpty());
}

TEST_F(TuningTest, AnOpenTrialKeepsItsGroupWaiting) {
  for (const StageState state : {StageState::kPending, StageState::kRunning}) {
    trials_.clear();
    stages_ = StageEntries();
    add("a", "1", StageState::kDone, 2.0);
    add("a", "2", state);
    add("b", "1", StageState::kDone, 1.0);
    EXPECT_THAT(winners(), ElementsAre(Pair("b", "1")));
    EXPECT_THAT(lost(), IsEmpty());
  }
}

TEST_F(TuningTest, FailedStoppedAndNotFiniteTrialsNeverWin) {
  add("a", "1", StageState::kFailed);
  add("a", "2", StageState::kStopped);
  add("a", "3", StageState::kDone, kNaN);
  add("a", "4", StageState::kDone, 9.0);
  EXPECT_THAT(winners(), ElementsAre(Pair("a", "4")));
}

TEST_F(TuningTest, AGroupWithoutAFiniteValueIsLost) {
  add("a", "1", StageState::kFailed);
  add("a", "2", StageState::kStopped);
  add("a", "3", StageState::kDone, kNaN);
  add("b", "1", StageState::kDone, 1.0);
  EXPECT_THAT(winners(), ElementsAre(Pair("b", "1")));
  EXPECT_THAT(lost(), ElementsAre("a"));
}

TEST_F(TuningTest, HigherIsBetterForExactMatch) {
  tune_.set_metric("held_out.exact_match");
  add("a", "1", StageState::kDone, 0.25, "exact_match");
  add("a", "2", StageState::kDone, 0.75, "exact_match");
  add("a", "3", StageState::kFailed);
  EXPECT_THAT(winners(), ElementsAre(Pair("a", "2")));
  EXPECT_EQ(tuning_decisions(tune_, trials_, stages_, decided_)[0].metric, 0.75);
}

// One seed would take 2; with it, 1 is the better of what can be relied on.
TEST_F(TuningTest, SeedsCountByTheirMean) {
  add("a", "1", StageState::kDone, 1.2);
  add("a", "1", StageState::kDone, 1.4);
  add("a", "2", StageState::kDone, 1.0);
  add("a", "2", StageState::kDone, 2.0);
  add("a", "3", StageState::kDone, 0.5);
  add("a", "3", StageState::kFailed);
  EXPECT_THAT(winners(), ElementsAre(Pair("a", "1")));
  EXPECT_DOUBLE_EQ(tuning_decisions(tune_, trials_, stages_, decided_)[0].metric, 1.3);
  EXPECT_THAT(lost(), IsEmpty());
  add("a", "2", StageState::kRunning);
  EXPECT_THAT(winners(), IsEmpty());
  trials_.erase(trials_.begin(), trials_.begin() + 4);
  trials_.pop_back();
  EXPECT_THAT(lost(), ElementsAre("a")) << "of each value a trial failed";
}

TEST_F(TuningTest, TiesGoToTheEarlierTrial) {
  add("a", "1", StageState::kDone, 1.0);
  add("a", "2", StageState::kDone, 1.0);
  EXPECT_THAT(winners(), ElementsAre(Pair("a", "1")));
}

TEST_F(TuningTest, WhatIsDecidedIsNotAskedAgain) {
  add("a", "1", StageState::kFailed);
  add("b", "1", StageState::kDone, 1.0);
  decided_ = {{"a", {{"train.learning_rate", "7"}}}, {"b", {{"train.learning_rate", "7"}}}};
  EXPECT_THAT(winners(), IsEmpty());
  EXPECT_THAT(lost(), IsEmpty());
}

TEST_F(TuningTest, TheOtherTrialsOfAGroupDoNotCount) {
  add("a", "1", StageState::kDone, 1.0);
  PlannedTrial waiting;
  waiting.id = "t0001";
  waiting.tune_group = "a";
  waiting.resolved = false;
  trials_.push_back(waiting);
  EXPECT_THAT(winners(), ElementsAre(Pair("a", "1")));
}

TEST_F(TuningTest, AMetricThatIsNotMeasuredIsTheUsersError) {
  tune_.set_metric("held_out.exact_match");
  add("a", "1", StageState::kDone, 1.0, "loss");
  try {
    (void)winners();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_EQ(error.where(), "tune.metric");
  }
}

}  // namespace
}  // namespace finescale
