// SPDX-License-Identifier: Apache-2.0
// Which pieces of a model lie where, and the messages between them: hidden states, their gradients,
// rows of the embedding's gradient. Sends go on the engine's message threads. Receivers take each
// kind in the order in which it was sent. The main thread of a rank calls.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "worker/engine.h"

namespace finescale {

class PieceLinks {
 public:
  enum class Kind { kState = 0, kGradient = 1, kRowIds = 2, kRows = 3 };

  explicit PieceLinks(const Engine& engine)
      : group_(&engine.mesh->pipeline()),
        queues_(engine.messages),
        num_pieces_(engine.num_pieces()) {}

  [[nodiscard]] int num_pieces() const noexcept { return num_pieces_; }
  [[nodiscard]] int piece_of(int chunk) const noexcept {
    return chunk * group_->size() + group_->rank();
  }
  [[nodiscard]] bool is_first(int piece) const noexcept { return piece == 0; }
  [[nodiscard]] bool is_last(int piece) const noexcept { return piece == num_pieces_ - 1; }

  // Sends memory that stays as it is until it was waited for.
  struct Sent {
    CommQueue* queue = nullptr;
    CommQueue::Ticket ticket = 0;
  };
  [[nodiscard]] Sent send(const TensorView& view, int to_piece, std::int64_t micro_batch,
                          Kind kind);
  void receive(const TensorView& view, int from_piece, std::int64_t micro_batch, Kind kind);
  // Nothing when nothing was sent; `sent` is emptied.
  static void wait(Sent& sent);

 private:
  [[nodiscard]] CommQueue& queue_of(Kind kind) const;
  [[nodiscard]] int tag(int piece, std::int64_t micro_batch, Kind kind) const;

  Group* group_;
  MessageQueues* queues_;
  int num_pieces_;
};

}  // namespace finescale
