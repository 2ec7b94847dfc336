// SPDX-License-Identifier: Apache-2.0
// What a GPU's kernels hold beside the tape, the weights and their state: copies of operands that
// products multiply in fewer bits, sums of parts, ids. Mirrors kernels/cuda. Pure.
#pragma once

#include "sharding/planner/activations.h"
#include "sharding/planner/workload.h"

namespace finescale::planner {

// Bytes that stay in use for a tape's micro-batches of at most `tokens`: tokens, positions, bounds.
[[nodiscard]] double gpu_tape_ids(std::int64_t tokens);

// Bytes of the operation of a training step, or of an evaluation's pass, that needs most of them.
[[nodiscard]] double gpu_operation_scratch(const Workload& workload, const Plan& plan,
                                           const PieceShape& piece, std::int64_t tokens,
                                           bool training);

}  // namespace finescale::planner
