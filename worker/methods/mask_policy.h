// SPDX-License-Identifier: Apache-2.0
// Which elements of a matrix train: those with the highest scores. Scores are of the whole logical
// matrix, so every rank and mesh chooses the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/schema/train.pb.h"

namespace finescale {

struct MaskInput {
  const std::vector<double>* values = nullptr;    // W [rows, cols], row-major
  const std::vector<double>* gradient = nullptr;  // of the same shape; where needs_gradient()
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::uint64_t seed = 0;    // of random masks: the run's,
  std::uint64_t stream = 0;  // the tensor's, and the update's
};

[[nodiscard]] bool needs_gradient(config::LiftMask mask);
// low_rank: |W_r|, the best approximation of W of rank r (Liu et al. 2025); with r of at least the
// smaller side |W|, exactly. magnitude: |W|. gradient: |g|. movement: -W g, what moves away from
// zero fastest (Sanh et al. 2020). random: uniform.
[[nodiscard]] std::vector<double> mask_scores(const config::Lift& config, const MaskInput& input);
// Indices of the `count` highest scores, ascending; of equal scores the first.
[[nodiscard]] std::vector<std::int64_t> highest(const std::vector<double>& scores,
                                                std::int64_t count);

}  // namespace finescale
