// SPDX-License-Identifier: Apache-2.0
// Gangs that wait for their place in a queue.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/coordinator/reactor_fixture.h"

namespace finescale {
namespace {

class PoolReactorTest : public ReactorTest {
 protected:
  PoolReactorTest() : ReactorTest(pool_options()) {}

 private:
  static ReactorOptions pool_options() {
    ReactorOptions o = options();
    o.gangs = 3;
    o.queued_gangs = true;
    o.idle_timeout = 30;
    return o;
  }
};

TEST_F(PoolReactorTest, AsManyAreWantedAsThereIsWorkFor) {
  add("a");
  add("b", {"a"});
  add("c", {"a"});
  add("d", {"a"});
  EXPECT_EQ(only<LaunchGang>(reactor_.on_tick(now_)).size(), 1U);
  enroll(1, "x");
  EXPECT_EQ(next(1), "a");
  EXPECT_TRUE(only<LaunchGang>(reactor_.on_tick(now_)).empty());
  finish(1, "a");
  EXPECT_EQ(only<LaunchGang>(reactor_.on_tick(now_)).size(), 2U);
}

TEST_F(PoolReactorTest, AGangThatWaitsForEverCostsNothing) {
  add("a");
  (void)reactor_.on_tick(now_);
  now_ += 1e6;
  EXPECT_TRUE(only<KillGang>(reactor_.on_tick(now_)).empty());
  EXPECT_EQ(reactor_.gang_failures(), 0);
  // It gets its place: from now on it must call.
  reactor_.on_gang_begun(1, now_);
  now_ += 100;
  EXPECT_TRUE(only<KillGang>(reactor_.on_tick(now_)).empty());
  now_ += 21;
  EXPECT_EQ(reactor_.launch_failure(), "");
  EXPECT_EQ(only<KillGang>(reactor_.on_tick(now_)).size(), 1U);
  EXPECT_EQ(reactor_.gang_failures(), 1);
  EXPECT_NE(reactor_.launch_failure(), "");
}

TEST_F(PoolReactorTest, WhoStillWaitsWhenAllIsDoneIsSentAway) {
  add("a");
  add("b");
  (void)reactor_.on_tick(now_);
  enroll(1, "x");
  EXPECT_EQ(next(1), "a");
  finish(1, "a");
  EXPECT_EQ(next(1), "b");
  finish(1, "b");
  const auto killed = only<KillGang>(reactor_.on_tick(now_));
  ASSERT_EQ(killed.size(), 1U);
  EXPECT_EQ(killed[0].id, 2);
  EXPECT_EQ(reactor_.gang_failures(), 0);
}

TEST_F(PoolReactorTest, AGangWithoutWorkLeaves) {
  add("a");
  add("b", {"a"});
  (void)reactor_.on_tick(now_);
  enroll(1, "x");
  EXPECT_EQ(next(1), "a");
  reactor_.adopt_gang(7, now_);
  enroll(7, "y");
  const auto order = [&] {
    const Outbox out = reactor_.on_next(++request_, from<proto::NextRequest>(7), now_);
    const auto* held = reply_to<proto::NextReply>(out, request_);
    const Outbox later = held != nullptr ? Outbox() : reactor_.on_tick(now_ += 2);
    const auto* reply = held != nullptr ? held : reply_to<proto::NextReply>(later, request_);
    return reply == nullptr ? proto::NextReply::RUN : reply->order();
  };
  EXPECT_EQ(order(), proto::NextReply::WAIT);
  now_ += 20;
  EXPECT_EQ(order(), proto::NextReply::WAIT);
  now_ += 10;
  EXPECT_EQ(order(), proto::NextReply::EXIT);
}

TEST_F(PoolReactorTest, AGangThatIsTakenAwayUsesUpNoAttempt) {
  add("a");
  for (int i = 1; i <= 10; ++i) {
    (void)reactor_.on_tick(now_);
    enroll(i, "x");
    EXPECT_EQ(next(i), "a");
    (void)reactor_.on_gang_exit(i, 1, "job 17 is PREEMPTED", now_, true);
    EXPECT_EQ(state_of("a"), StageState::kPending);
    now_ += 2;
  }
  EXPECT_EQ(reactor_.stages().at("a").stored.attempts, 0);
  EXPECT_EQ(reactor_.stages().at("a").stored.epoch, 10);
}

TEST_F(PoolReactorTest, IdsAreNeverUsedAgain) {
  reactor_.reserve_gangs(41);
  add("a");
  const auto launched = only<LaunchGang>(reactor_.on_tick(now_));
  ASSERT_EQ(launched.size(), 1U);
  EXPECT_EQ(launched[0].id, 42);
}

}  // namespace
}  // namespace finescale
