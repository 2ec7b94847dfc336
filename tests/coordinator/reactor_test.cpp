// SPDX-License-Identifier: Apache-2.0
// The scheduler as a pure machine: events in, actions out, a clock that the test holds.
#include "coordinator/reactor.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/coordinator/reactor_fixture.h"

namespace finescale {
namespace {

TEST_F(ReactorTest, StagesGoOutInPlanOrderWhenTheirInputsAreDone) {
  add("base");
  add("x", {"base"});
  add("y", {"base"});
  start_gangs();
  EXPECT_EQ(next(1), "base");
  EXPECT_EQ(next(2), "");  // held back: nothing is ready
  finish(1, "base");
  const Outbox out = reactor_.on_tick(now_);
  ASSERT_EQ(only<Order>(out).size(), 1U);  // the waiting gang is served at once
  EXPECT_EQ(only<Order>(out)[0].key, "x");
  EXPECT_EQ(only<Order>(out)[0].gang, 2);
  EXPECT_EQ(next(1), "y");
}

TEST_F(ReactorTest, AGangGoesOnWithWhatItHasJustMade) {
  add("a");
  add("b");
  add("b2", {"b"});
  add("a2", {"a"});
  start_gangs();
  EXPECT_EQ(next(1), "a");
  EXPECT_EQ(next(2), "b");
  finish(1, "a");
  finish(2, "b");
  EXPECT_EQ(next(1), "a2");  // b2 is earlier in the plan, but a2's input is resident here
}

TEST_F(ReactorTest, AWaitingGangIsAnsweredAfterASecond) {
  add("base");
  add("x", {"base"});
  start_gangs();
  EXPECT_EQ(next(1), "base");
  EXPECT_EQ(next(2), "");
  const std::uint64_t waiting = request_;
  EXPECT_EQ(reply_to<proto::NextReply>(reactor_.on_tick(now_ + 0.5), waiting), nullptr);
  const Outbox out = reactor_.on_tick(now_ + 1.5);
  const auto* reply = reply_to<proto::NextReply>(out, waiting);
  ASSERT_NE(reply, nullptr);
  EXPECT_EQ(reply->order(), proto::NextReply::WAIT);
}

TEST_F(ReactorTest, GangsGoWhenNothingIsLeft) {
  add("only");
  start_gangs_one();
  EXPECT_EQ(next(1), "only");
  finish(1, "only");
  const Outbox out = reactor_.on_next(++request_, from<proto::NextRequest>(1), now_);
  EXPECT_EQ(reply_to<proto::NextReply>(out, request_)->order(), proto::NextReply::EXIT);
  EXPECT_TRUE(reactor_.all_settled());
}

TEST_F(ReactorTest, NoMoreGangsThanOpenStages) {
  add("only");
  EXPECT_EQ(only<LaunchGang>(reactor_.on_tick(now_)).size(), 1U);
}

TEST_F(ReactorTest, StopTellsEveryGangToSaveAndKeepsTheWork) {
  add("s");
  add("t", {"s"});
  start_gangs_one();
  EXPECT_EQ(next(1), "s");
  reactor_.stop();
  auto beat = from<proto::HeartbeatRequest>(1);
  beat.set_key("s");
  beat.set_epoch(epoch_of("s"));
  const Outbox out = reactor_.on_heartbeat(++request_, beat, now_);
  EXPECT_EQ(reply_to<proto::HeartbeatReply>(out, request_)->action(), proto::HeartbeatReply::STOP);
  const Outbox saved = commit(1, "s", epoch_of("s"), proto::StageResult::STOPPED);
  EXPECT_TRUE(reply_to<proto::CommitReply>(saved, request_)->accepted());
  EXPECT_TRUE(only<Publish>(saved).empty());
  EXPECT_EQ(state_of("s"), StageState::kPending);  // the next run continues it
  const Outbox after = reactor_.on_next(++request_, from<proto::NextRequest>(1), now_);
  EXPECT_EQ(reply_to<proto::NextReply>(after, request_)->order(), proto::NextReply::EXIT);
}

TEST_F(ReactorTest, ABrokenLauncherIsNotTriedForEver) {
  add("s");
  int launched = 0;
  for (int i = 0; i < 20; ++i) {
    for (const LaunchGang& gang : only<LaunchGang>(reactor_.on_tick(now_))) {
      ++launched;
      (void)reactor_.on_gang_exit(gang.id, 1, "", now_);
    }
    now_ += 10;
  }
  EXPECT_EQ(launched, 3);
}

}  // namespace
}  // namespace finescale
