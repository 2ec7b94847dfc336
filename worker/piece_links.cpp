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
  if (goes_by_channel(kind)) {
    GpuChannel& channel = channels_->get(group_->rank(), to, kind);
    return {nullptr, &channel, channel.send(bytes)};
  }
  CommQueue& queue = queue_of(kind);
  const CommQueue::Ticket ticket =
      queue.enqueue([group = group_, bytes, to, at = tag(to_piece, micro_batch, kind)] {
        group->send(bytes, to, at);
      });
  return {&queue, nullptr, ticket};
}

int PieceLinks::receiver_of(int from_piece, Kind kind) const {
  switch (kind) {
    case Kind::kState:
      return from_piece + 1;
    case Kind::kGradient:
      return from_piece - 1;
    case Kind::kRowIds:
    case Kind::kRows:
      break;
  }
  return num_pieces_ - 1;
}

void PieceLinks::receive(const TensorView& view, int from_piece, std::int64_t micro_batch,
                         Kind kind) {
  FS_CHECK(view.is_dense(), "nothing that can be received into");
  const std::span<std::byte> bytes(view.as<std::byte>(), view.size_bytes());
  const int from = from_piece % group_->size();
  if (goes_by_channel(kind)) {
    channels_->get(from, group_->rank(), kind).receive(bytes);
    return;
  }
  group_->receive(bytes, from, tag(receiver_of(from_piece, kind), micro_batch, kind));
}

void PieceLinks::wait(Sent& sent) {
  const Sent now = std::exchange(sent, {});
  if (now.queue != nullptr) {
    now.queue->wait(now.ticket);
  }
  if (now.channel != nullptr) {
    now.channel->wait(now.ticket);
  }
}

void PieceLinks::share_table(const TensorView& table) {
  const std::span<std::byte> bytes(table.as<std::byte>(), table.size_bytes());
  const int last = group_->size() - 1;
  const bool receives = group_->rank() == 0;
  if (channels_ != nullptr) {
    GpuChannel& channel = channels_->get(last, 0, Kind::kRows);
    if (receives) {
      channel.receive(bytes);
    } else {
      channel.wait(channel.send(bytes));
    }
  } else if (receives) {
    group_->receive(bytes, last, Group::kMaxTag);
  } else {
    group_->send(bytes, 0, Group::kMaxTag);
  }
}

}  // namespace finescale
