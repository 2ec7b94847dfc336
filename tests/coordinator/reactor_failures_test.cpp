// SPDX-License-Identifier: Apache-2.0
// What fails, and what waits for it.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/coordinator/reactor_fixture.h"

namespace finescale {
namespace {

TEST_F(ReactorTest, RetryableFailuresAreTriedAgainLaterAndNotForEver) {
  add("s");
  start_gangs_one();
  double delay = 0;
  for (int attempt = 1; attempt <= 3; ++attempt) {
    EXPECT_EQ(next(1), "s") << attempt;
    (void)fail(1, "s", "comm");
    if (attempt == 3) {
      break;
    }
    EXPECT_EQ(state_of("s"), StageState::kPending);
    EXPECT_EQ(next(1), "") << "must wait";
    const double until = reactor_.stages().at("s").not_before;
    EXPECT_GT(until - now_, delay);  // longer each time
    delay = until - now_;
    now_ = until + 0.01;
    (void)reactor_.on_heartbeat(++request_, from<proto::HeartbeatRequest>(1), now_);
  }
  EXPECT_EQ(state_of("s"), StageState::kFailed);
  EXPECT_EQ(reactor_.stages().at("s").stored.attempts, 3);
}

TEST_F(ReactorTest, OneBadTrialDoesNotStopTheOthers) {
  add("bad");
  add("bad_eval", {"bad"});
  add("bad_after", {"bad_eval"});
  add("good");
  add("good_eval", {"good"});
  start_gangs_one();
  EXPECT_EQ(next(1), "bad");
  (void)fail(1, "bad", "data");  // no use in trying again
  EXPECT_EQ(state_of("bad"), StageState::kFailed);
  EXPECT_EQ(state_of("bad_eval"), StageState::kFailed);
  EXPECT_EQ(state_of("bad_after"), StageState::kFailed);
  EXPECT_EQ(reactor_.stages().at("bad_after").stored.error_kind, "input");
  EXPECT_EQ(next(1), "good");
  finish(1, "good");
  EXPECT_EQ(next(1), "good_eval");
  finish(1, "good_eval");
  EXPECT_TRUE(reactor_.all_settled());
}

TEST_F(ReactorTest, ADivergedStageIsAnOutcomeAndIsNotTriedAgain) {
  add("s");
  add("eval", {"s"});
  start_gangs_one();
  EXPECT_EQ(next(1), "s");
  finish(1, "s", proto::StageResult::DIVERGED);
  EXPECT_EQ(state_of("s"), StageState::kFailed);
  EXPECT_EQ(reactor_.stages().at("s").stored.error_kind, "diverged");
  EXPECT_EQ(state_of("eval"), StageState::kFailed);
  EXPECT_TRUE(reactor_.all_settled());
}

// A coordinator may die after a stage's failure is stored and before its dependents' is.
TEST_F(ReactorTest, WhatAFailedInputLeftPendingIsFailedAtTheStart) {
  add("s", {}, StageState::kFailed);
  add("eval", {"s"});
  const Outbox out = reactor_.on_tick(now_);
  EXPECT_EQ(state_of("eval"), StageState::kFailed);
  ASSERT_EQ(only<SaveStage>(out).size(), 1U);
  EXPECT_EQ(only<SaveStage>(out)[0].key, "eval");
  EXPECT_TRUE(reactor_.all_settled());
}

// A tuning decision adds stages to a running campaign; one of them may need what has failed.
TEST_F(ReactorTest, SoIsWhatIsAddedLaterToAFailedInput) {
  add("s", {}, StageState::kFailed);
  (void)reactor_.on_tick(now_);
  add("eval", {"s"});
  (void)reactor_.on_tick(now_);
  EXPECT_EQ(state_of("eval"), StageState::kFailed);
  EXPECT_TRUE(reactor_.all_settled());
}

// Its input was done when it began, was found damaged, and failed when it was made again.
TEST_F(ReactorTest, SoIsWhatComesBackBehindAFailedInput) {
  add("s", {}, StageState::kDone);
  add("eval", {"s"});
  add("other");
  start_gangs();
  EXPECT_EQ(next(1), "eval");
  EXPECT_EQ(only<SaveStage>(reactor_.artifact_lost("s", "a flipped bit")).size(), 1U);
  EXPECT_EQ(next(2), "s");
  auto message = from<proto::FailRequest>(2);
  message.set_key("s");
  message.set_epoch(epoch_of("s"));
  message.set_kind("data");
  (void)reactor_.on_fail(++request_, message, now_);
  EXPECT_EQ(state_of("s"), StageState::kFailed);
  EXPECT_EQ(state_of("eval"), StageState::kRunning);
  (void)reactor_.on_gang_exit(1, 137, "", now_);
  (void)reactor_.on_tick(now_);
  EXPECT_EQ(state_of("eval"), StageState::kFailed);
}

TEST_F(ReactorTest, ATrunkThatIsBroughtBackGoesInFrontOfItsReader) {
  add("run", {"trunk"}, StageState::kDone);  // the trunk was left out of this plan
  add("trunk");
  (void)reactor_.artifact_lost("run", "a flipped bit");
  EXPECT_EQ(state_of("run"), StageState::kPending);
  start_gangs();
  EXPECT_EQ(next(1), "trunk");
  EXPECT_EQ(next(2), "");
  finish(1, "trunk");
  EXPECT_EQ(next(1), "run");
}

TEST_F(ReactorTest, WithoutItsTrunkADamagedStageFails) {
  add("run", {"trunk"}, StageState::kDone);
  (void)reactor_.artifact_lost("run", "a flipped bit");
  EXPECT_EQ(state_of("run"), StageState::kFailed);
}

TEST_F(ReactorTest, ADamagedStageBehindAFailureFails) {
  add("base", {}, StageState::kFailed);
  add("run", {"base"}, StageState::kDone);
  (void)reactor_.artifact_lost("run", "a flipped bit");
  (void)reactor_.on_tick(now_);
  EXPECT_EQ(state_of("run"), StageState::kFailed);
}

}  // namespace
}  // namespace finescale
