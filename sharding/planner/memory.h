// SPDX-License-Identifier: Apache-2.0
// Bytes that a rank holds at its peak, by what they are for: what the engine allocates, asked of
// the engine's own pure functions where it has them.
#pragma once

#include <cstdint>

#include "sharding/planner/machine.h"
#include "sharding/planner/pieces.h"
#include "sharding/planner/workload.h"

namespace finescale::planner {

struct Memory {
  double weights = 0;        // parameters a rank keeps, frozen ones too
  double gather = 0;         // ZeRO-3: places of the units in use
  double gradients = 0;      // sums of the exact tree over micro-batches included
  double optimizer = 0;      // moments and master weights
  double activations = 0;    // of the micro-batches in flight and of an evaluation
  double logits = 0;         // chunks of the head
  double scratch = 0;        // of a device's kernels, for the time of one operation
  double communication = 0;  // staging of collectives
  double snapshot = 0;       // of a checkpoint on its way to the file
  double base = 0;           // of a started worker
  [[nodiscard]] double total() const noexcept {
    return weights + gather + gradients + optimizer + activations + logits + scratch +
           communication + snapshot + base;
  }
};

// Of the largest rank of this pipeline coordinate. The plan must be legal; pieces are its own.
[[nodiscard]] Memory memory_of_stage(const Workload& workload, const Plan& plan,
                                     const Pieces& pieces, const Machine& machine, int stage);
[[nodiscard]] Memory memory_of_stage(const Workload& workload, const Plan& plan,
                                     const Machine& machine, int stage);
// Of the pipeline coordinate that needs most.
[[nodiscard]] Memory peak_memory(const Workload& workload, const Plan& plan, const Pieces& pieces,
                                 const Machine& machine);
[[nodiscard]] Memory peak_memory(const Workload& workload, const Plan& plan,
                                 const Machine& machine);

}  // namespace finescale::planner
