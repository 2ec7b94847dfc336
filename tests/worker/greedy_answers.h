// SPDX-License-Identifier: Apache-2.0
// Greedy answers of one transformer on the ranks of a tensor group.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/eval/generate.h"

namespace finescale {

inline std::vector<std::vector<std::int32_t>> greedy_answers(
    Group& tensor, Transformer& model, const std::vector<std::vector<std::int32_t>>& prompts,
    std::int64_t max_new) {
  Mesh mesh(tensor, {.tensor = tensor.size()});
  Engine engine;
  engine.mesh = &mesh;
  EvalModel eval(engine, {EvalPiece{&model, [] {}}});
  return Generator(eval).greedy(prompts, max_new, -1);
}

}  // namespace finescale
