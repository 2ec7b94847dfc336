// SPDX-License-Identifier: Apache-2.0
#include "worker/pipeline.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/transfer.h"
#include "kernels/reduce.h"
#include "sharding/ordered_losses.h"

namespace finescale {

namespace {

TensorView as_view(std::vector<std::int32_t>& ids) {
  return {ids.data(), DType::kI32, Shape{static_cast<std::int64_t>(ids.size())}};
}

}  // namespace

Pipeline::Pipeline(const Engine& engine, std::vector<Trainable*> pieces, std::int64_t max_tokens)
    : engine_(engine), links_(engine), max_tokens_(max_tokens) {
  for (std::size_t chunk = 0; chunk < pieces.size(); ++chunk) {
    Piece piece;
    piece.trainable = pieces[chunk];
    piece.index = links_.piece_of(static_cast<int>(chunk));
    piece.forward_name = "forward, piece " + std::to_string(piece.index);
    piece.backward_name = "backward, piece " + std::to_string(piece.index);
    pieces_.push_back(std::move(piece));
  }
}

Pipeline::~Pipeline() {
  for (Piece& piece : pieces_) {
    for (const auto& flight : piece.flights) {
      try {  // messages use the tape's memory
        PieceLinks::wait(flight->sent);
      } catch (...) {  // train() would have thrown it
      }
    }
  }
  for (OutgoingRows& rows : outgoing_rows_) {
    try {
      PieceLinks::wait(rows.sent);
    } catch (...) {
    }
  }
}

double Pipeline::train(const std::vector<MicroBatch>& micro_batches, double scale,
                       const Before& before) {
  micro_batches_ = &micro_batches;
  scale_ = scale;
  const auto count = std::ssize(micro_batches);
  std::int64_t rounds = 0;
  for (Piece& piece : pieces_) {
    mine_ = piece.trainable->begin_step(count);
    rounds = piece.trainable->num_rounds();
  }
  if (before) {
    before(mine_);
  }
  losses_.assign(mine_.size(), 0);
  next_rows_ = 0;
  auto [schedule, is_new] = schedules_.try_emplace(rounds);
  if (is_new) {
    schedule->second = make_pipeline_schedule(
        {engine_.mesh->shape().pipeline, engine_.chunks, std::max<std::int64_t>(1, rounds)});
  }
  schedule_ = &schedule->second;
  make_room();
  std::vector<std::vector<std::unique_ptr<SharedOperand>>> shared;
  for (const Piece& piece : pieces_) {
    if (engine_.zero_stage < 3) {  // then weights come and go
      shared.push_back(piece.trainable->model().share_weights());
    }
  }
  const auto rank = static_cast<std::size_t>(engine_.mesh->coord().pipeline);
  for (const PipelineAction& action : schedule_->actions[rank]) {
    Piece& piece = pieces_[static_cast<std::size_t>(action.chunk)];
    if (action.backward) {
      backward(piece, action.micro_batch);
    } else {
      forward(piece, action.micro_batch);
    }
  }
  finish_heads(rounds);
  for (Piece& piece : pieces_) {
    piece.trainable->finish_step();
  }
  double total = 0;
  Group& pipeline = engine_.mesh->pipeline();
  if (pipeline.rank() == pipeline.size() - 1) {
    total = ordered_sum_of(engine_.mesh->replica(), count, rounds, mine_, losses_);
  }
  pipeline.broadcast(&total, sizeof total, pipeline.size() - 1);
  return total;
}

// Tapes for what is in flight at once; none is made after the largest step was seen. One more where
// pieces interleave: with a last group of fewer micro-batches than ranks, a tape can be needed
// again before its message has been taken.
void Pipeline::make_room() {
  const auto rank = static_cast<std::size_t>(engine_.mesh->coord().pipeline);
  const std::int64_t spare = engine_.chunks > 1 ? 1 : 0;
  // When micro-batch m comes to the last piece, the first one has sent the rows of m - window.
  window_ = std::max(window_, most_in_flight(schedule_->actions.front(), 0) + spare);
  for (std::size_t chunk = 0; chunk < pieces_.size(); ++chunk) {
    Piece& piece = pieces_[chunk];
    const std::int64_t needed =
        most_in_flight(schedule_->actions[rank], static_cast<int>(chunk)) + spare;
    while (std::ssize(piece.flights) < needed) {
      piece.flights.push_back(std::make_unique<InFlight>(piece.trainable->model().make_tape()));
    }
    if (piece.trainable->has_head_copy()) {
      piece.trainable->make_head_buffers(static_cast<int>(window_));
    }
    if (piece.trainable->lends_embedding()) {
      make_row_buffers(*piece.trainable);
    }
  }
}

void Pipeline::make_row_buffers(Trainable& first) {
  const std::int64_t width = first.base().layout.shape().hidden_size;
  const std::size_t bytes =
      static_cast<std::size_t>(max_tokens_ * width) * dtype_size(first.base().weights.dtype());
  while (std::ssize(outgoing_rows_) < window_) {
    outgoing_rows_.push_back(
        {{}, AlignedBuffer(bytes, engine_.stream, MemoryPurpose::kGradients), {}});
  }
}

std::size_t Pipeline::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Piece& piece : pieces_) {
    for (const auto& flight : piece.flights) {
      bytes += flight->tape.memory_bytes();
    }
  }
  return bytes;
}

void Pipeline::take_state(Piece& piece, std::int64_t index) {
  InFlight& flight = piece.flight(index);
  PieceLinks::wait(flight.sent);
  const TensorView input =
      piece.trainable->model().begin(flight.tape, batch(index), max_tokens_, true);
  if (!links_.is_first(piece.index)) {
    links_.receive(input, piece.index - 1, index, PieceLinks::Kind::kState);
  }
}

void Pipeline::forward(Piece& piece, std::int64_t index) {
  if (links_.is_last(piece.index)) {
    // The first piece sends this state only when its rows of `window_` micro-batches ago have been
    // taken: a long message waits for its receiver.
    finish_heads(index + 1 - window_);
  }
  if (is_idle(index)) {
    if (!links_.is_last(piece.index)) {
      piece.trainable->idle_forward();
    }
    return;
  }
  take_state(piece, index);
  if (links_.is_last(piece.index)) {
    return;  // nobody waits for it, and its gradients begin in it: turn() does it
  }
  InFlight& flight = piece.flight(index);
  Transformer& model = piece.trainable->model();
  {
    const TraceSpan span(trace(), piece.forward_name.c_str(), number_of(index));
    (void)model.forward(flight.tape, batch(index), scale_);
  }
  flight.sent =
      links_.send(model.output(flight.tape), piece.index + 1, index, PieceLinks::Kind::kState);
}

void Pipeline::pass_backward(Piece& piece, std::int64_t index) {
  InFlight& flight = piece.flight(index);
  TensorView gradient;
  {
    const TraceSpan span(trace(), piece.backward_name.c_str(), number_of(index));
    gradient = piece.trainable->model().backward(flight.tape);
  }
  if (!links_.is_first(piece.index)) {
    flight.sent = links_.send(gradient, piece.index - 1, index, PieceLinks::Kind::kGradient);
  } else if (piece.trainable->lends_embedding()) {
    send_rows(flight, index);
  }
}

void Pipeline::backward(Piece& piece, std::int64_t index) {
  if (links_.is_last(piece.index)) {
    turn(piece, index);
    return;
  }
  if (is_idle(index)) {
    piece.trainable->idle_backward();
    return;
  }
  InFlight& flight = piece.flight(index);
  piece.trainable->open();
  PieceLinks::wait(flight.sent);  // the next piece has had the state for long
  links_.receive(piece.trainable->model().output_gradient(flight.tape), piece.index + 1, index,
                 PieceLinks::Kind::kGradient);
  pass_backward(piece, index);
  piece.trainable->close();
}

// Forward and backward through the last piece.
void Pipeline::turn(Piece& piece, std::int64_t index) {
  Trainable& trainable = *piece.trainable;
  if (is_idle(index)) {
    trainable.idle_forward();
    trainable.idle_backward();
    return;
  }
  if (trainable.has_head_copy()) {
    trainable.begin_head(index);
  }
  trainable.open();
  InFlight& flight = piece.flight(index);
  {
    const TraceSpan span(trace(), piece.forward_name.c_str(), number_of(index));
    losses_[static_cast<std::size_t>(index)] =
        trainable.model().forward(flight.tape, batch(index), scale_);
  }
  pass_backward(piece, index);
  trainable.close();
}

// ---------------------------------------------------------------- the tied embedding

void Pipeline::send_rows(const InFlight& flight, std::int64_t index) {
  const Tape::EmbeddingRows& found = flight.tape.embedding_rows();
  const std::int64_t count = found.ids.num_elements();
  OutgoingRows& rows = outgoing_rows_[static_cast<std::size_t>(index % window_)];
  PieceLinks::wait(rows.sent);
  rows.ids.assign(static_cast<std::size_t>(batch(index).num_tokens()) + 1, 0);
  rows.ids.front() = static_cast<std::int32_t>(count);
  copy_to_host(engine_.stream, found.ids.data, rows.ids.data() + 1, found.ids.size_bytes());
  const TensorView values(rows.values.data(), found.rows.dtype, found.rows.shape);
  copy(engine_.stream, found.rows, values);
  const int last = links_.num_pieces() - 1;
  (void)links_.send(as_view(rows.ids), last, index, PieceLinks::Kind::kRowIds);
  rows.sent = links_.send(values, last, index, PieceLinks::Kind::kRows);
}

void Pipeline::receive_rows(Trainable& last, std::int64_t index) {
  const std::int64_t tokens = batch(index).num_tokens();
  const std::int64_t width = last.base().layout.shape().hidden_size;
  const DType dtype = last.base().weights.dtype();
  row_ids_.resize(static_cast<std::size_t>(tokens) + 1);
  links_.receive(as_view(row_ids_), 0, index, PieceLinks::Kind::kRowIds);
  const std::int64_t count = row_ids_.front();
  FS_CHECK(count >= 0 && count <= tokens, "rows of an embedding that no token asks for");
  const std::size_t needed = static_cast<std::size_t>(max_tokens_ * width) * dtype_size(dtype);
  if (row_values_.size_bytes() < needed) {
    row_values_ = AlignedBuffer(needed, engine_.stream, MemoryPurpose::kGradients);
  }
  const TensorView rows(row_values_.data(), dtype, Shape{count, width});
  links_.receive(rows, 0, index, PieceLinks::Kind::kRows);
  last.finish_head(index, {on_device(row_ids_.data() + 1, count), rows});
}

// Ids where the engine's device can read them.
TensorView Pipeline::on_device(std::int32_t* ids, std::int64_t count) {
  const TensorView host(ids, DType::kI32, Shape{count});
  if (!engine_.stream.on_gpu()) {
    return host;
  }
  const std::size_t needed = static_cast<std::size_t>(max_tokens_) * sizeof(std::int32_t);
  if (device_row_ids_.size_bytes() < needed) {
    device_row_ids_ = AlignedBuffer(needed, engine_.stream, MemoryPurpose::kGradients);
  }
  copy_to_device(engine_.stream, ids, device_row_ids_.data(), host.size_bytes());
  return {device_row_ids_.data(), DType::kI32, host.shape};
}

// Completes the head's gradient of all micro-batches in front of this one.
void Pipeline::finish_heads(std::int64_t before) {
  Trainable& last = *pieces_.back().trainable;
  if (!last.has_head_copy()) {
    return;
  }
  for (; next_rows_ < before; ++next_rows_) {
    if (is_idle(next_rows_)) {
      last.idle_head();
    } else {
      receive_rows(last, next_rows_);
    }
  }
}

}  // namespace finescale
