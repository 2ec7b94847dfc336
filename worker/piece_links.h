// SPDX-License-Identifier: Apache-2.0
// Which pieces of a model lie where, and the messages between them: hidden states, their gradients,
// rows of the embedding's gradient. On the CPU sends go on the engine's message threads; between
// GPUs every kind and direction has a channel, and nothing waits on the host. Receivers take each
// kind in the order in which it was sent. The main thread of a rank calls.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "worker/engine.h"
#include "worker/piece_channels.h"

namespace finescale {

class PieceLinks {
 public:
  using Kind = PieceMessage;

  explicit PieceLinks(const Engine& engine)
      : group_(&engine.mesh->pipeline()),
        queues_(engine.messages),
        channels_(engine.channels),
        num_pieces_(engine.num_pieces()) {}

  [[nodiscard]] int num_pieces() const noexcept { return num_pieces_; }
  [[nodiscard]] int piece_of(int chunk) const noexcept {
    return chunk * group_->size() + group_->rank();
  }
  [[nodiscard]] bool is_first(int piece) const noexcept { return piece == 0; }
  [[nodiscard]] bool is_last(int piece) const noexcept { return piece == num_pieces_ - 1; }

  // Sends memory that stays as it is until it was waited for. kRowIds: the host's; the other kinds:
  // of the engine's device.
  struct Sent {
    CommQueue* queue = nullptr;
    GpuChannel* channel = nullptr;
    std::uint64_t ticket = 0;
  };
  [[nodiscard]] Sent send(const TensorView& view, int to_piece, std::int64_t micro_batch,
                          Kind kind);
  void receive(const TensorView& view, int from_piece, std::int64_t micro_batch, Kind kind);
  // Nothing when nothing was sent; `sent` is emptied.
  static void wait(Sent& sent);

  // The table of the last rank reaches the first one; the ranks between have none.
  void share_table(const TensorView& table);

 private:
  [[nodiscard]] bool goes_by_channel(Kind kind) const noexcept {
    return channels_ != nullptr && kind != Kind::kRowIds;
  }
  [[nodiscard]] CommQueue& queue_of(Kind kind) const;
  [[nodiscard]] int tag(int piece, std::int64_t micro_batch, Kind kind) const;
  [[nodiscard]] int receiver_of(int from_piece, Kind kind) const;

  Group* group_;
  MessageQueues* queues_;
  PieceChannels* channels_;  // null on the CPU
  int num_pieces_;
};

}  // namespace finescale
