// SPDX-License-Identifier: Apache-2.0
// The scheduler as a pure machine: events in, actions out, a clock that the test holds.
#include "coordinator/reactor.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"

namespace finescale {
namespace {

class ReactorTest : public testing::Test {
 protected:
  ReactorTest() : reactor_(options()) {}

  static ReactorOptions options() {
    ReactorOptions o;
    o.gangs = 2;
    o.max_attempts = 3;
    o.heartbeat_timeout = 60;
    o.launch_timeout = 120;
    o.retry_delay = 1;
    o.coordinator_epoch = 5;
    return o;
  }

  void add(const std::string& key, std::vector<std::string> inputs = {},
           StageState state = StageState::kPending, const std::string& label = "") {
    StageEntry stage;
    stage.stored.key = key;
    stage.stored.label = label.empty() ? "label of " + key : label;
    stage.stored.state = state;
    stage.inputs = std::move(inputs);
    stage.position = ++position_;
    reactor_.add_stage(std::move(stage), now_);
  }

  // Of one name: "seen", s0, s1, ...
  void add_alike(int count) {
    add("seen", {}, StageState::kPending, "train");
    for (int i = 0; i < count; ++i) {
      add("s" + std::to_string(i), {}, StageState::kPending, "train");
    }
  }

  template <class Message>
  Message from(std::int64_t gang, std::int64_t epoch = 5) {
    Message message;
    message.mutable_caller()->set_gang(gang);
    message.mutable_caller()->set_coordinator_epoch(epoch);
    return message;
  }
  template <class T>
  static std::vector<T> only(const Outbox& out) {
    std::vector<T> found;
    for (const Action& action : out) {
      if (const T* one = std::get_if<T>(&action)) {
        found.push_back(*one);
      }
    }
    return found;
  }
  // The answer to a request among the replies.
  template <class R>
  static const R* reply_to(const Outbox& out, std::uint64_t request) {
    for (const Action& action : out) {
      if (const Reply* reply = std::get_if<Reply>(&action); reply != nullptr) {
        if (reply->request == request) {
          return std::get_if<R>(&reply->reply);
        }
      }
    }
    return nullptr;
  }

  // Two gangs are launched and register, on hosts of their own unless told otherwise.
  void start_gangs(const std::string& second_host = "b") {
    const Outbox out = reactor_.on_tick(now_);
    ASSERT_EQ(only<LaunchGang>(out).size(), 2U);
    enroll(1, "a");
    enroll(2, second_host);
  }
  void start_gangs_one() {  // both are launched, the test talks as the first
    (void)reactor_.on_tick(now_);
    enroll(1, "a");
  }
  void enroll(std::int64_t gang, const std::string& host) {
    auto message = from<proto::RegisterRequest>(gang);
    message.set_host(host);
    message.set_ranks(1);
    const Outbox out = reactor_.on_register(++request_, message, now_);
    const auto* reply = reply_to<proto::RegisterReply>(out, request_);
    ASSERT_NE(reply, nullptr);
    EXPECT_TRUE(reply->accepted());
  }
  // Asks for work; the stage that was leased, or "".
  std::string next(std::int64_t gang) {
    const Outbox out = reactor_.on_next(++request_, from<proto::NextRequest>(gang), now_);
    const auto orders = only<Order>(out);
    shares_ = orders.empty() ? 0 : orders[0].thread_shares;
    return orders.empty() ? "" : orders[0].key;
  }
  [[nodiscard]] std::int64_t epoch_of(const std::string& key) const {
    return reactor_.stages().at(key).stored.epoch;
  }
  [[nodiscard]] StageState state_of(const std::string& key) const {
    return reactor_.stages().at(key).stored.state;
  }
  Outbox commit(std::int64_t gang, const std::string& key, std::int64_t epoch,
                proto::StageResult::Outcome outcome = proto::StageResult::DONE) {
    auto message = from<proto::CommitRequest>(gang);
    message.set_key(key);
    message.set_epoch(epoch);
    message.mutable_result()->set_outcome(outcome);
    return reactor_.on_commit(++request_, message, now_);
  }
  // A commit whose artifact is good.
  void finish(std::int64_t gang, const std::string& key,
              proto::StageResult::Outcome outcome = proto::StageResult::DONE) {
    ASSERT_EQ(only<Publish>(commit(gang, key, epoch_of(key), outcome)).size(), 1U);
    proto::StageResult result;
    result.set_outcome(outcome);
    result.set_why("because");
    (void)reactor_.committed(key, result);
  }
  void finish_in(std::int64_t gang, const std::string& key, double seconds) {
    ASSERT_EQ(only<Publish>(commit(gang, key, epoch_of(key))).size(), 1U);
    proto::StageResult result;
    result.set_outcome(proto::StageResult::DONE);
    result.set_seconds(seconds);
    (void)reactor_.committed(key, result);
  }
  // Asks for several at once; there must be some.
  Order next_order(std::int64_t gang, int most = 64) {
    auto message = from<proto::NextRequest>(gang);
    message.set_most(most);
    const auto orders = only<Order>(reactor_.on_next(++request_, message, now_));
    EXPECT_EQ(orders.size(), 1U);
    return orders.empty() ? Order{} : orders[0];
  }
  void beat_gangs() {
    for (const std::int64_t gang : {1, 2}) {
      (void)reactor_.on_heartbeat(++request_, from<proto::HeartbeatRequest>(gang), now_);
    }
  }
  Outbox fail(std::int64_t gang, const std::string& key, const std::string& kind) {
    auto message = from<proto::FailRequest>(gang);
    message.set_key(key);
    message.set_epoch(epoch_of(key));
    message.set_kind(kind);
    message.set_message("it broke");
    return reactor_.on_fail(++request_, message, now_);
  }

  double now_ = 1000;
  std::uint64_t request_ = 0;
  std::int64_t position_ = 0;
  int shares_ = 0;
  Reactor reactor_;
};

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

TEST_F(ReactorTest, AStageThatAllWaitForGetsTheThreadsOfItsHost) {
  add("base");
  add("x", {"base"});
  add("y", {"base"});
  start_gangs("a");  // both gangs on one host
  EXPECT_EQ(next(1), "base");
  EXPECT_EQ(shares_, 2);
  finish(1, "base");
  EXPECT_EQ(next(1), "x");
  EXPECT_EQ(shares_, 1);  // y can run beside it
  EXPECT_EQ(next(2), "y");
  EXPECT_EQ(shares_, 1);  // x runs
}

TEST_F(ReactorTest, ThreadsOfOtherHostsAreNotLent) {
  add("base");
  add("x", {"base"});
  start_gangs("b");
  EXPECT_EQ(next(1), "base");
  EXPECT_EQ(shares_, 1);
}

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

TEST_F(ReactorTest, StagesThatAreKnownToBeShortGoOutTogether) {
  add_alike(16);
  start_gangs();
  EXPECT_EQ(next_order(1).more.size(), 0U);  // nobody knows how long these take
  finish_in(1, "seen", 0.01);
  const Order order = next_order(1);
  EXPECT_EQ(order.key, "s0");
  EXPECT_EQ(order.more, (std::vector<std::string>{"s1", "s2", "s3"}));  // 16 ready, 2 gangs: half
  for (const std::string& key : order.more) {
    EXPECT_EQ(state_of(key), StageState::kRunning);
    EXPECT_EQ(reactor_.stages().at(key).stored.gang, 1);
  }
}

TEST_F(ReactorTest, AnOrderOfShortStagesIsShortItself) {
  add_alike(64);
  start_gangs();
  EXPECT_EQ(next(1), "seen");
  finish_in(1, "seen", 0.08);
  EXPECT_EQ(next_order(1).more.size(), 2U);     // 3 x 0.08 s are more than kShortSeconds
  EXPECT_EQ(next_order(2, 2).more.size(), 1U);  // that takes at most two
}

TEST_F(ReactorTest, AStageThatHasFailedIsAlone) {
  add_alike(16);
  start_gangs();
  EXPECT_EQ(next(1), "seen");
  finish_in(1, "seen", 0.01);
  EXPECT_EQ(next(1), "s0");
  (void)fail(1, "s0", "io");
  now_ += 100;
  beat_gangs();
  EXPECT_EQ(next_order(1).more.size(), 0U);  // s0 again
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

// Gangs that wait for their place in a queue.
class PoolReactorTest : public ReactorTest {
 protected:
  PoolReactorTest() {
    ReactorOptions o = options();
    o.gangs = 3;
    o.queued_gangs = true;
    o.idle_timeout = 30;
    reactor_ = Reactor(o);
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
  EXPECT_EQ(only<KillGang>(reactor_.on_tick(now_)).size(), 1U);
  EXPECT_EQ(reactor_.gang_failures(), 1);
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
