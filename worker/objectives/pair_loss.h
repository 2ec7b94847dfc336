// SPDX-License-Identifier: Apache-2.0
// An objective of preferences on a micro-batch: from the losses of its tokens to the weights that
// give the gradient, and the reference that it compares with.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "worker/data/batch.h"
#include "worker/data/dataset.h"
#include "worker/data/loader.h"
#include "worker/eval/eval_model.h"
#include "worker/objectives/objective.h"

namespace finescale {

// Log-probabilities of chosen and rejected answers under the model that training starts from, by
// example. Made once: every step and every resume compares with the same numbers.
class ReferenceScores {
 public:
  // Of the loader's examples. Collective over the model's mesh.
  ReferenceScores(EvalModel& model, const Dataset& dataset, const TrainLoader& loader);

  [[nodiscard]] const std::array<double, 2>& of(std::int64_t example) const {
    return scores_.at(example);
  }
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  std::map<std::int64_t, std::array<double, 2>> scores_;
};

// What the answers of a global batch are held against: of the chosen ones the mean over rejected
// answers of log p - log p_ref, of the rejected ones that over chosen answers, at least 0 each.
struct Baselines {
  double chosen = 0;
  double rejected = 0;
};
// Collective over the model's mesh; the same bits on every rank. reference: null: zeros, to see how
// long it takes.
[[nodiscard]] Baselines baselines_of(EvalModel& model, const ReferenceScores* reference,
                                     const std::vector<MicroBatch>& batch, std::int64_t max_tokens);

// Segments 2i and 2i + 1 of the batch are the chosen and the rejected answer of a pair. losses [T]:
// of the tokens. Returns the weighted sum over pairs and fills weights [T]: d sum / d losses.
// reference may be null where the objective needs none.
double weigh_pairs(const Objective& objective, const ReferenceScores* reference,
                   const Baselines& baselines, const MicroBatch& batch, const TensorView& losses,
                   const TensorView& weights);

// Throws kData when the objective cannot learn from the dataset, naming the stage's field.
void check_data(const Objective& objective, const Dataset& dataset);

}  // namespace finescale
