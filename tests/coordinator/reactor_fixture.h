// SPDX-License-Identifier: Apache-2.0
// The scheduler with two gangs, spoken to as they would.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/reactor.h"

namespace finescale {

class ReactorTest : public testing::Test {
 protected:
  explicit ReactorTest(const ReactorOptions& how = options()) : reactor_(how) {}

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

}  // namespace finescale
