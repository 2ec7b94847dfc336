// SPDX-License-Identifier: Apache-2.0
// Takes the micro-batches of a step through the pieces of a model, on one pipeline rank or on many,
// by the 1F1B schedule. One main thread per rank calls; every call is collective over the mesh.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/trace.h"
#include "sharding/planner/pipeline_schedule.h"
#include "worker/data/batch.h"
#include "worker/piece_links.h"
#include "worker/trainable.h"

namespace finescale {

class Pipeline {
 public:
  // pieces: of this rank, by chunk. max_tokens: of the largest micro-batch.
  Pipeline(const Engine& engine, std::vector<Trainable*> pieces, std::int64_t max_tokens);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  // Forward and backward passes of a step; gradients of scale x loss are summed when it returns.
  // Returns the sum of the losses of all labelled tokens, the same bits on every rank and mesh.
  // before: called in front of the passes with the numbers of this rank's micro-batches.
  using Before = std::function<void(std::span<const std::int64_t> mine)>;
  [[nodiscard]] double train(const std::vector<MicroBatch>& micro_batches, double scale,
                             const Before& before = {});

  [[nodiscard]] PieceLinks& links() noexcept { return links_; }
  // Of the tapes of all micro-batches in flight.
  [[nodiscard]] std::size_t memory_bytes() const;
  // Of rows of the embedding's gradient on their way.
  [[nodiscard]] std::size_t message_bytes() const noexcept { return row_values_.size_bytes(); }

 private:
  // A micro-batch in one piece.
  struct InFlight {
    explicit InFlight(Tape t) : tape(std::move(t)) {}
    Tape tape;
    PieceLinks::Sent sent;  // its newest message
  };
  struct Piece {
    Trainable* trainable = nullptr;
    int index = 0;             // among all pieces
    std::string forward_name;  // in a trace
    std::string backward_name;
    std::vector<std::unique_ptr<InFlight>> flights;
    [[nodiscard]] InFlight& flight(std::int64_t micro_batch) {
      return *flights[static_cast<std::size_t>(micro_batch % std::ssize(flights))];
    }
  };
  // The embedding's rows of one micro-batch on their way to the last piece. They have memory of
  // their own: the last piece takes them later than the first one needs the tape again.
  struct OutgoingRows {
    std::vector<std::int32_t> ids;  // count, then tokens
    AlignedBuffer values;
    PieceLinks::Sent sent;
  };
  void make_room();
  void make_row_buffers(Trainable& first);
  void forward(Piece& piece, std::int64_t index);
  void backward(Piece& piece, std::int64_t index);
  void turn(Piece& piece, std::int64_t index);
  void take_state(Piece& piece, std::int64_t index);
  void pass_backward(Piece& piece, std::int64_t index);
  void send_rows(const InFlight& flight, std::int64_t index);
  [[nodiscard]] TensorView on_device(std::int32_t* ids, std::int64_t count);
  void receive_rows(Trainable& last, std::int64_t index);
  void finish_heads(std::int64_t before);
  [[nodiscard]] const MicroBatch& batch(std::int64_t index) const {
    return (*micro_batches_)[static_cast<std::size_t>(number_of(index))];
  }
  // Of this rank's micro-batch among those of the step.
  [[nodiscard]] std::int64_t number_of(std::int64_t index) const {
    return mine_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] Trace* trace() const { return engine_.mesh->world().monitor().trace(); }
  [[nodiscard]] bool is_idle(std::int64_t index) const { return index >= std::ssize(mine_); }

  Engine engine_;
  PieceLinks links_;
  std::int64_t max_tokens_;
  std::vector<Piece> pieces_;
  std::map<std::int64_t, PipelineSchedule> schedules_;  // by number of rounds
  const PipelineSchedule* schedule_ = nullptr;
  // The step that goes on.
  const std::vector<MicroBatch>* micro_batches_ = nullptr;
  std::span<const std::int64_t> mine_;
  double scale_ = 0;
  std::vector<double> losses_;  // of mine, where the last piece is
  // Micro-batches whose part of the head's gradient waits for the embedding's rows.
  std::int64_t next_rows_ = 0;
  std::int64_t window_ = 1;  // how many may wait at once
  std::vector<OutgoingRows> outgoing_rows_;
  std::vector<std::int32_t> row_ids_;
  AlignedBuffer device_row_ids_;  // the same where a GPU reads them
  AlignedBuffer row_values_;
};

}  // namespace finescale
