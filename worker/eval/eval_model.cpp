// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/eval_model.h"

#include <utility>

#include "core/tensor_element.h"
#include "core/transfer.h"
#include "sharding/ordered_losses.h"
#include "sharding/ordered_reduce.h"
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

double EvalModel::forward(const MicroBatch& batch, std::int64_t max_tokens, std::int64_t index,
                          TensorView* token_losses) {
  double loss = 0;
  for (std::size_t chunk = 0; chunk < pieces_.size(); ++chunk) {
    const int piece = links_.piece_of(static_cast<int>(chunk));
    Transformer& model = *pieces_[chunk].model;
    PieceLinks::wait(sent_[chunk]);
    const TensorView input = model.begin(tapes_[chunk], batch, max_tokens, false);
    if (!links_.is_first(piece)) {
      links_.receive(input, piece - 1, index, PieceLinks::Kind::kState);
    }
    loss = model.forward(tapes_[chunk], batch, 0, token_losses);
    if (!links_.is_last(piece)) {
      sent_[chunk] =
          links_.send(model.output(tapes_[chunk]), piece + 1, index, PieceLinks::Kind::kState);
    }
  }
  return loss;
}

template <class Visit>
void EvalModel::for_each_of_mine(std::int64_t count, Visit&& visit) {
  const Group& replica = engine_.mesh->replica();
  const MicroBatchRange mine = micro_batches_of(count, replica.rank(), replica.size());
  const std::int64_t rounds = (count + replica.size() - 1) / replica.size();
  for (std::int64_t round = 0; round < rounds; ++round) {
    if (mine.begin + round < mine.end) {
      visit(mine.begin + round, round);
      continue;
    }
    for (const EvalPiece& piece : pieces_) {
      piece.idle();
    }
    visit(-1, round);
  }
}

double EvalModel::loss_sum(const std::vector<MicroBatch>& batches, std::int64_t max_tokens,
                           const std::function<void()>& pulse) {
  Group& replica = engine_.mesh->replica();
  const auto count = std::ssize(batches);
  const std::int64_t rounds = (count + replica.size() - 1) / replica.size();
  std::vector<std::int64_t> indices;
  std::vector<double> sums;
  for_each_of_mine(count, [&](std::int64_t index, std::int64_t round) {
    if (index >= 0) {
      indices.push_back(index);
      sums.push_back(forward(batches[static_cast<std::size_t>(index)], max_tokens, round));
    }
    pulse();
  });
  Group& pipeline = engine_.mesh->pipeline();
  double total = 0;
  if (pipeline.rank() == pipeline.size() - 1) {
    total = ordered_sum_of(replica, count, rounds, indices, sums);
  }
  pipeline.broadcast(&total, sizeof total, pipeline.size() - 1);
  return total;
}

void EvalModel::visit_states(
    const std::vector<MicroBatch>& batches, std::span<const std::int64_t> mine,
    std::int64_t max_tokens,
    const std::function<void(std::int64_t index, const TensorView& states)>& visit) {
  const std::int64_t replicas = engine_.mesh->replica().size();
  const std::int64_t rounds = (std::ssize(batches) + replicas - 1) / replicas;
  for (std::int64_t round = 0; round < rounds; ++round) {
    if (round >= std::ssize(mine)) {
      for (const EvalPiece& piece : pieces_) {
        piece.idle();
      }
      continue;
    }
    const std::int64_t index = mine[static_cast<std::size_t>(round)];
    (void)forward(batches[static_cast<std::size_t>(index)], max_tokens, round);
    if (pieces_.back().model->layout().part().has_head) {
      visit(index, pieces_.back().model->scored(tapes_.back()));
    }
  }
}

std::vector<double> EvalModel::segment_losses(const std::vector<MicroBatch>& batches,
                                              std::int64_t max_tokens) {
  std::vector<std::size_t> first(batches.size() + 1, 0);  // segments in front of each batch
  for (std::size_t i = 0; i < batches.size(); ++i) {
    first[i + 1] = first[i] + batches[i].segments.size() - 1;
  }
  std::vector<double> sums(first.back(), 0);
  Group& pipeline = engine_.mesh->pipeline();
  const bool has_losses = pipeline.rank() == pipeline.size() - 1;
  for_each_of_mine(std::ssize(batches), [&](std::int64_t number, std::int64_t round) {
    if (number < 0) {
      return;
    }
    const auto i = static_cast<std::size_t>(number);
    TensorView losses;
    (void)forward(batches[i], max_tokens, round, &losses);
    if (!has_losses) {
      return;
    }
    const HostCopy copy(engine_.stream, losses, HostCopy::For::kReading);
    const TensorView& known = copy.view();
    for (std::size_t s = 0; s + 1 < batches[i].segments.size(); ++s) {
      for (std::int32_t t = batches[i].segments[s]; t < batches[i].segments[s + 1]; ++t) {
        sums[first[i] + s] += element(known, t);
      }
    }
  });
  // One rank of each replica group has a segment's sum, the others zero.
  ordered_all_reduce(engine_.mesh->replica(),
                     TensorView(sums.data(), DType::kF64, {std::ssize(sums)}));
  pipeline.broadcast(sums.data(), sums.size() * sizeof(double), pipeline.size() - 1);
  return sums;
}

}  // namespace finescale
