// SPDX-License-Identifier: Apache-2.0
// A model that is measured: the pieces of this rank and the ranks that hold the others. Results do
// not depend on the number of replicas. One main thread per rank calls; calls are collective over
// the mesh.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "worker/data/batch.h"
#include "worker/engine.h"
#include "worker/model/transformer.h"
#include "worker/piece_links.h"

namespace finescale {

struct EvalPiece {
  Transformer* model = nullptr;
  std::function<void()> idle;  // goes through the units as a forward pass does
};

class EvalModel {
 public:
  EvalModel(const Engine& engine, std::vector<EvalPiece> pieces);
  ~EvalModel();
  EvalModel(const EvalModel&) = delete;
  EvalModel& operator=(const EvalModel&) = delete;

  // Sum of the losses of all labels, in the fixed tree; pulse is called between micro-batches.
  [[nodiscard]] double loss_sum(const std::vector<MicroBatch>& batches, std::int64_t max_tokens,
                                const std::function<void()>& pulse);

  // Sums of the losses of each segment's labels, in order, the same on every rank.
  [[nodiscard]] std::vector<double> segment_losses(const std::vector<MicroBatch>& batches,
                                                   std::int64_t max_tokens);

  // Calls visit(index, [T, C]) with what is in front of the head for this rank's micro-batches,
  // where the head is; valid in the call. mine: one for each round, or none in the last ones.
  void visit_states(const std::vector<MicroBatch>& batches, std::span<const std::int64_t> mine,
                    std::int64_t max_tokens,
                    const std::function<void(std::int64_t index, const TensorView& states)>& visit);

  [[nodiscard]] std::size_t memory_bytes() const;  // of its tapes
  [[nodiscard]] Mesh& mesh() const noexcept { return *engine_.mesh; }
  [[nodiscard]] const Engine& engine() const noexcept { return engine_; }
  [[nodiscard]] const std::vector<EvalPiece>& pieces() const noexcept { return pieces_; }

 private:
  double forward(const MicroBatch& batch, std::int64_t max_tokens, std::int64_t index,
                 TensorView* token_losses = nullptr);
  // Calls visit(index of the micro-batch, round) for this rank's, and goes idle where it has none.
  template <class Visit>
  void for_each_of_mine(std::int64_t count, Visit&& visit);

  Engine engine_;
  PieceLinks links_;
  std::vector<EvalPiece> pieces_;
  std::vector<Tape> tapes_;
  std::vector<PieceLinks::Sent> sent_;
};

}  // namespace finescale
