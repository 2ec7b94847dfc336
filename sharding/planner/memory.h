// SPDX-License-Identifier: Apache-2.0
// Bytes that a rank holds at its peak, by what they are for.
#pragma once

#include <cstdint>

#include "sharding/planner/machine.h"
#include "sharding/planner/workload.h"

namespace finescale::planner {

struct Memory {
  double weights = 0;        // parameters a rank keeps, frozen ones too
  double gather = 0;         // ZeRO-3: units gathered for use
  double gradients = 0;      // sums of the exact tree over micro-batches included
  double optimizer = 0;      // moments and master weights
  double activations = 0;    // of the micro-batches in flight, and gradients of activations
  double logits = 0;         // one chunk of the head
  double communication = 0;  // staging of collectives
  double base = 0;
  [[nodiscard]] double total() const noexcept {
    return weights + gather + gradients + optimizer + activations + logits + communication + base;
  }
};

// Of a rank of this pipeline stage. The plan must be legal.
[[nodiscard]] Memory memory_of_stage(const Workload& workload, const Plan& plan,
                                     const Machine& machine, int stage);
// Of the stage that needs most.
[[nodiscard]] Memory peak_memory(const Workload& workload, const Plan& plan,
                                 const Machine& machine);

// Sums of gradients that the exact tree holds at once: by a rank for its own micro-batches (a
// contiguous range of them), and by all others for the last merge; the most over the ranks.
struct TreeBuffers {
  std::int64_t own = 1;
  std::int64_t foreign = 0;
};
[[nodiscard]] TreeBuffers tree_buffers(std::int64_t micro_batches, int ranks);

// Activations that one micro-batch leaves for its backward pass: elements per token of one layer.
[[nodiscard]] double layer_activations(const Workload& workload, const Plan& plan);

}  // namespace finescale::planner
