// SPDX-License-Identifier: Apache-2.0
// Who holds a stage: older leases, gangs that come back, commits of several parts.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/coordinator/reactor_fixture.h"

namespace finescale {
namespace {

TEST_F(ReactorTest, ACommitOfAnOldLeaseIsRefused) {
  add("s");
  add("t");
  start_gangs();
  EXPECT_EQ(next(1), "s");
  const std::int64_t old = epoch_of("s");
  now_ += 61;  // gang 1 is silent
  auto beat = from<proto::HeartbeatRequest>(2);
  (void)reactor_.on_heartbeat(++request_, beat, now_);
  const Outbox lost = reactor_.on_tick(now_);
  ASSERT_EQ(only<KillGang>(lost).size(), 1U);
  EXPECT_EQ(only<KillGang>(lost)[0].id, 1);
  EXPECT_EQ(state_of("s"), StageState::kPending);
  now_ += 5;  // its delay has passed
  (void)reactor_.on_heartbeat(++request_, beat, now_);
  EXPECT_EQ(next(2), "s");
  EXPECT_GT(epoch_of("s"), old);
  // The lost gang comes back with its finished work.
  const Outbox late = commit(1, "s", old);
  EXPECT_TRUE(only<Publish>(late).empty());
  EXPECT_FALSE(reply_to<proto::CommitReply>(late, request_)->accepted());
  // So does a message that names the new lease but comes from the wrong gang.
  const Outbox stolen = commit(1, "s", epoch_of("s"));
  EXPECT_TRUE(only<Publish>(stolen).empty());
  finish(2, "s");
  EXPECT_EQ(state_of("s"), StageState::kDone);
}

TEST_F(ReactorTest, ACommitIsTakenOnce) {
  add("s");
  start_gangs_one();
  EXPECT_EQ(next(1), "s");
  const std::int64_t epoch = epoch_of("s");
  finish(1, "s");
  const Outbox again = commit(1, "s", epoch);
  EXPECT_TRUE(only<Publish>(again).empty());
  EXPECT_FALSE(reply_to<proto::CommitReply>(again, request_)->accepted());
}

TEST_F(ReactorTest, MessagesOfAnotherCoordinatorEpochAreRefused) {
  add("s");
  start_gangs_one();
  const Outbox out = reactor_.on_register(++request_, from<proto::RegisterRequest>(1, 4), now_);
  EXPECT_FALSE(reply_to<proto::RegisterReply>(out, request_)->accepted());
  const Outbox beat = reactor_.on_heartbeat(++request_, from<proto::HeartbeatRequest>(1, 4), now_);
  EXPECT_EQ(reply_to<proto::HeartbeatReply>(beat, request_)->action(),
            proto::HeartbeatReply::ABANDON);
}

TEST_F(ReactorTest, ALivingGangOfTheCoordinatorBeforeKeepsItsLease) {
  StageEntry stage;
  stage.stored.key = "s";
  stage.stored.state = StageState::kRunning;
  stage.stored.epoch = 7;
  stage.stored.gang = 4;
  reactor_.add_stage(stage, now_);
  reactor_.adopt_gang(4, now_);
  EXPECT_TRUE(only<LaunchGang>(reactor_.on_tick(now_)).empty());  // one is enough
  auto message = from<proto::RegisterRequest>(4);
  message.set_held_key("s");
  message.set_held_epoch(7);
  const Outbox out = reactor_.on_register(++request_, message, now_);
  EXPECT_TRUE(reply_to<proto::RegisterReply>(out, request_)->keep_lease());
  finish(4, "s");
  EXPECT_EQ(state_of("s"), StageState::kDone);
}

TEST_F(ReactorTest, ALeaseWhoseGangNeverCameBackIsGivenToAnother) {
  StageEntry stage;
  stage.stored.key = "s";
  stage.stored.state = StageState::kRunning;
  stage.stored.epoch = 7;
  stage.stored.gang = 4;
  reactor_.add_stage(stage, now_);
  (void)reactor_.on_tick(now_);  // gang 4 is not there
  EXPECT_EQ(state_of("s"), StageState::kPending);
  now_ += 10;
  (void)reactor_.on_tick(now_);
  const std::int64_t id = reactor_.gangs().rbegin()->first;
  enroll(id, "a");
  EXPECT_EQ(next(id), "s");
  EXPECT_EQ(epoch_of("s"), 8);
}

TEST_F(ReactorTest, AGangThatComesBackKeepsAllThatItHolds) {
  add_alike(16);
  start_gangs();
  EXPECT_EQ(next(1), "seen");
  finish_in(1, "seen", 0.01);
  const Order order = next_order(1);
  ASSERT_EQ(order.more.size(), 3U);
  auto message = from<proto::RegisterRequest>(1);
  message.set_held_key("s0");
  message.set_held_epoch(1);
  proto::HeldLease& held = *message.add_also_held();
  held.set_key("s2");
  held.set_epoch(1);
  const Outbox out = reactor_.on_register(++request_, message, now_);
  EXPECT_TRUE(reply_to<proto::RegisterReply>(out, request_)->keep_lease());
  EXPECT_EQ(state_of("s0"), StageState::kRunning);
  EXPECT_EQ(state_of("s2"), StageState::kRunning);
  EXPECT_EQ(state_of("s1"), StageState::kPending);  // of which it knows nothing
  EXPECT_EQ(state_of("s3"), StageState::kPending);
}

TEST_F(ReactorTest, PartsOfACommitAreJudgedOneByOne) {
  add("a");
  add("b");
  add("c");
  start_gangs();
  EXPECT_EQ(next(1), "a");
  EXPECT_EQ(next(2), "b");
  auto message = from<proto::CommitRequest>(1);
  message.set_key("a");
  message.set_epoch(epoch_of("a"));
  message.mutable_result()->set_outcome(proto::StageResult::STOPPED);  // was not begun
  proto::CommitRequest& foreign = *message.add_more();
  foreign.set_key("b");
  foreign.set_epoch(epoch_of("b"));
  const Outbox out = reactor_.on_commit(++request_, message, now_);
  const auto* reply = reply_to<proto::CommitReply>(out, request_);
  ASSERT_NE(reply, nullptr);
  EXPECT_TRUE(reply->accepted());
  ASSERT_EQ(reply->more_size(), 1);
  EXPECT_FALSE(reply->more(0).accepted());
  EXPECT_EQ(state_of("a"), StageState::kPending);
  EXPECT_EQ(reactor_.stages().at("a").stored.attempts, 0);  // that is no failure
  EXPECT_EQ(state_of("b"), StageState::kRunning);
}

}  // namespace
}  // namespace finescale
