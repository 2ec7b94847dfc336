// SPDX-License-Identifier: Apache-2.0
#include "worker/piece_links.h"

#include <span>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

constexpr std::int64_t kKinds = 4;

}  // namespace

// Of one kind and micro-batch, a piece receives one message and sends one; the receiver is named.
int PieceLinks::tag(int piece, std::int64_t micro_batch, Kind kind) const {
  const std::int64_t tag =
      (micro_batch * num_pieces_ + piece) * kKinds + static_cast<std::int64_t>(kind);
  return static_cast<int>(tag % Group::kMaxTag);
}

CommQueue& PieceLinks::queue_of(Kind kind) const {
  switch (kind) {
    case Kind::kState:
      return queues_->states;
    case Kind::kGradient:
      return queues_->gradients;
    case Kind::kRowIds:
    case Kind::kRows:
      break;
  }
  return queues_->rows;
}

PieceLinks::Sent PieceLinks::send(const TensorView& view, int to_piece, std::int64_t micro_batch,
                                  Kind kind) {
  FS_CHECK(view.is_dense() && queues_ != nullptr, "nothing that can be sent");
  const std::span<const std::byte> bytes(view.as<std::byte>(), view.size_bytes());
  const int to = to_piece % group_->size();
  CommQueue& queue = queue_of(kind);
  const CommQueue::Ticket ticket =
      queue.enqueue([group = group_, bytes, to, at = tag(to_piece, micro_batch, kind)] {
        group->send(bytes, to, at);
      });
  return {&queue, ticket};
}

void PieceLinks::receive(const TensorView& view, int from_piece, std::int64_t micro_batch,
                         Kind kind) {
  FS_CHECK(view.is_dense(), "nothing that can be received into");
  int to_piece = 0;
  switch (kind) {
    case Kind::kState:
      to_piece = from_piece + 1;
      break;
    case Kind::kGradient:
      to_piece = from_piece - 1;
      break;
    case Kind::kRowIds:
    case Kind::kRows:
      to_piece = num_pieces_ - 1;
      break;
  }
  group_->receive({view.as<std::byte>(), view.size_bytes()}, from_piece % group_->size(),
                  tag(to_piece, micro_batch, kind));
}

void PieceLinks::wait(Sent& sent) {
  if (sent.queue != nullptr) {
    const Sent now = std::exchange(sent, {});
    now.queue->wait(now.ticket);
  }
}

}  // namespace finescale
