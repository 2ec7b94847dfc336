// SPDX-License-Identifier: Apache-2.0
// Greedy generation with a key/value cache, many prompts at once. A group of prompts is decoded
// together and its composition is the caller's, so answers do not depend on the number of ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/eval/eval_model.h"

namespace finescale {

class Generator {
 public:
  explicit Generator(EvalModel& model) : model_(&model) {}

  // Continues each prompt until `stop`, max_new tokens, or the model's last position; the stop
  // token is not returned. Collective over the tensor and pipeline groups, and where units are
  // gathered over the shard group: the same prompts on each rank.
  [[nodiscard]] std::vector<std::vector<std::int32_t>> greedy(
      const std::vector<std::vector<std::int32_t>>& prompts, std::int64_t max_new,
      std::int32_t stop);

 private:
  EvalModel* model_;
};

}  // namespace finescale
