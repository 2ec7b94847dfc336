// SPDX-License-Identifier: Apache-2.0
#include "worker/order_in_hand.h"

#include <utility>

#include "configs/canonical.h"
#include "configs/schema/stage.pb.h"

namespace finescale {

namespace {

constexpr double kLateSeconds = 2;  // ten times what the stages of an order should take together

std::string key_of(const proto::NextReply& order) {
  config::StageSpec spec;
  parse_canonical(order.stage(), spec);
  return spec.key();
}

proto::HeldLease lease(const std::string& key, std::int64_t epoch) {
  proto::HeldLease held;
  held.set_key(key);
  held.set_epoch(epoch);
  return held;
}

}  // namespace

proto::CommitRequest joined(const std::vector<proto::CommitRequest>& parts) {
  proto::CommitRequest whole = parts.front();
  for (std::size_t i = 1; i < parts.size(); ++i) {
    *whole.add_more() = parts[i];
  }
  return whole;
}

proto::NextReply OrderInHand::accept(proto::NextReply order, double now) {
  begun_at_ = now;
  is_group_ = order.more_size() > 0;
  for (proto::NextReply& stage : *order.mutable_more()) {
    queue_.push_back(std::move(stage));
  }
  order.clear_more();
  return order;
}

std::optional<proto::NextReply> OrderInHand::begin_next(double now) {
  if (is_late(now)) {
    give_back();
  }
  if (queue_.empty()) {
    return std::nullopt;
  }
  proto::NextReply stage = std::move(queue_.front());
  queue_.pop_front();
  return stage;
}

bool OrderInHand::is_late(double now) const noexcept {
  return !queue_.empty() && now - begun_at_ > kLateSeconds;
}

void OrderInHand::give_back() {
  for (const proto::NextReply& stage : std::exchange(queue_, {})) {
    proto::CommitRequest part;
    part.set_key(key_of(stage));
    part.set_epoch(stage.epoch());
    part.mutable_result()->set_outcome(proto::StageResult::STOPPED);
    finished_.push_back(std::move(part));
  }
}

void OrderInHand::drop_finished(std::size_t count) {
  finished_.erase(finished_.begin(), finished_.begin() + static_cast<std::ptrdiff_t>(count));
}

std::vector<proto::HeldLease> OrderInHand::leases() const {
  std::vector<proto::HeldLease> held;
  for (const proto::NextReply& stage : queue_) {
    held.push_back(lease(key_of(stage), stage.epoch()));
  }
  for (const proto::CommitRequest& part : finished_) {
    held.push_back(lease(part.key(), part.epoch()));
  }
  return held;
}

}  // namespace finescale
