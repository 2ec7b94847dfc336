// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/eval_model.h"

#include <utility>

#include "sharding/ordered_losses.h"
#include "sharding/tree_order.h"

namespace finescale {

EvalModel::EvalModel(const Engine& engine, std::vector<EvalPiece> pieces)
    : engine_(engine), links_(engine), pieces_(std::move(pieces)), sent_(pieces_.size()) {
  for (const EvalPiece& piece : pieces_) {
    tapes_.push_back(piece.model->make_tape());
  }
}

EvalModel::~EvalModel() {
  for (PieceLinks::Sent& sent : sent_) {
    try {  // messages use the tape's memory
      PieceLinks::wait(sent);
    } catch (...) {  // loss_sum() would have thrown it
    }
  }
}

std::size_t EvalModel::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Tape& tape : tapes_) {
    bytes += tape.memory_bytes();
  }
  return bytes;
}

double EvalModel::forward(const MicroBatch& batch, std::int64_t max_tokens, std::int64_t index) {
  double loss = 0;
  for (std::size_t chunk = 0; chunk < pieces_.size(); ++chunk) {
    const int piece = links_.piece_of(static_cast<int>(chunk));
    Transformer& model = *pieces_[chunk].model;
    PieceLinks::wait(sent_[chunk]);
    const TensorView input = model.begin(tapes_[chunk], batch, max_tokens, false);
    if (!links_.is_first(piece)) {
      links_.receive(input, piece - 1, index, PieceLinks::Kind::kState);
    }
    loss = model.forward(tapes_[chunk], batch, 0);
    if (!links_.is_last(piece)) {
      sent_[chunk] =
          links_.send(model.output(tapes_[chunk]), piece + 1, index, PieceLinks::Kind::kState);
    }
  }
  return loss;
}

double EvalModel::loss_sum(const std::vector<MicroBatch>& batches, std::int64_t max_tokens,
                           const std::function<void()>& pulse) {
  Group& replica = engine_.mesh->replica();
  const auto count = std::ssize(batches);
  const MicroBatchRange mine = micro_batches_of(count, replica.rank(), replica.size());
  const std::int64_t rounds = (count + replica.size() - 1) / replica.size();
  std::vector<std::int64_t> indices;
  std::vector<double> sums;
  for (std::int64_t round = 0; round < rounds; ++round) {
    const std::int64_t index = mine.begin + round;
    if (index < mine.end) {
      indices.push_back(index);
      sums.push_back(forward(batches[static_cast<std::size_t>(index)], max_tokens, round));
    } else {
      for (const EvalPiece& piece : pieces_) {
        piece.idle();
      }
    }
    pulse();
  }
  Group& pipeline = engine_.mesh->pipeline();
  double total = 0;
  if (pipeline.rank() == pipeline.size() - 1) {
    total = ordered_sum_of(replica, count, rounds, indices, sums);
  }
  pipeline.broadcast(&total, sizeof total, pipeline.size() - 1);
  return total;
}

}  // namespace finescale
