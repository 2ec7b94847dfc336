// SPDX-License-Identifier: Apache-2.0
// Seconds of one optimizer step and the bytes that a rank sends for it.
#pragma once

#include "sharding/planner/machine.h"
#include "sharding/planner/pieces.h"
#include "sharding/planner/workload.h"

namespace finescale::planner {

struct StepTime {
  double compute = 0;        // of the busiest rank, recomputation included
  double bubble = 0;         // pipeline stages that wait
  double optimizer = 0;      // update, sums of gradients, rounded copies of weights
  double communication = 0;  // not hidden behind computing
  double hidden = 0;         // communication that is
  // Payload that one rank of the first stage sends in a step, by axis.
  double replica_bytes = 0;  // data and shard: gradients and weights
  double tensor_bytes = 0;
  double pipeline_bytes = 0;

  [[nodiscard]] double total() const noexcept {
    return compute + bubble + optimizer + communication;
  }
  [[nodiscard]] double communication_share() const noexcept {
    return total() > 0 ? communication / total() : 0;
  }
};

// The plan must be legal; pieces are its own.
[[nodiscard]] StepTime step_time(const Workload& workload, const Plan& plan, const Pieces& pieces,
                                 const Machine& machine);
[[nodiscard]] StepTime step_time(const Workload& workload, const Plan& plan,
                                 const Machine& machine);

}  // namespace finescale::planner
