// SPDX-License-Identifier: Apache-2.0
// The stages of an order that a gang has taken: one that it works on, others not begun, others
// finished and not committed. Short stages are flushed and committed together, because a flush
// costs more than their work. Not locked: the leader does that.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/proto/gang.pb.h"

namespace finescale {

// One request without a caller; there is one part or more.
[[nodiscard]] proto::CommitRequest joined(const std::vector<proto::CommitRequest>& parts);

class OrderInHand {
 public:
  // What a gang asks for; the coordinator gives fewer, and one when it does not know them short.
  static constexpr int kMost = 64;

  // Takes an order apart; what is to be executed first. `now`: seconds on any clock.
  [[nodiscard]] proto::NextReply accept(proto::NextReply order, double now);
  // The next of its stages. Nothing: none is left. Those of an order that takes long are given
  // back.
  [[nodiscard]] std::optional<proto::NextReply> begin_next(double now);
  // Its stages were thought short and are not: others must not wait behind the one that runs.
  [[nodiscard]] bool is_late(double now) const noexcept;
  // What is not begun counts as stopped: it will be committed as such, and leased again.
  void give_back();

  // Several stages, which are committed together.
  [[nodiscard]] bool is_group() const noexcept { return is_group_; }
  void finish(proto::CommitRequest part) { finished_.push_back(std::move(part)); }
  [[nodiscard]] const std::vector<proto::CommitRequest>& finished() const { return finished_; }
  // The first `count` of them were answered.
  void drop_finished(std::size_t count);

  // Leases beside the one of the stage that is being executed.
  [[nodiscard]] std::vector<proto::HeldLease> leases() const;

 private:
  std::deque<proto::NextReply> queue_;
  std::vector<proto::CommitRequest> finished_;
  double begun_at_ = 0;
  bool is_group_ = false;
};

}  // namespace finescale
