// SPDX-License-Identifier: Apache-2.0
// What GradientReducer allocates, before there are ranks: the reducer and the planner ask the same
// functions. Pure.
#pragma once

#include <cstdint>

#include "sharding/shard_plan.h"

namespace finescale {

// Elements of the gradient's type.
struct ReducerMemory {
  std::int64_t leaves = 0;   // where backward accumulates, and sums of full size
  std::int64_t result = 0;   // stages 2, 3: the range that the rank gets the sum of
  std::int64_t sums = 0;     // stages 2, 3: sums of slice size, besides the result
  std::int64_t staging = 0;  // what other ranks send
  std::int64_t num_sums = 0;
  [[nodiscard]] std::int64_t total() const noexcept { return leaves + result + sums + staging; }
};

// Longest piece of a slice that is exchanged at once: 1 MiB of f32 bounds the memory for what
// others send and is long enough for full bandwidth between processes.
inline constexpr std::int64_t kExchangeWindow = std::int64_t{1} << 18;

// Stages 0 and 1: leaves of full size.
[[nodiscard]] ReducerMemory contiguous_memory(const ShardPlan& plan, int rank,
                                              std::int64_t max_micro_batches);
// Stages 2 and 3 on more than one rank: leaves in the places of the plan, and slices [first, last)
// of the result.
[[nodiscard]] ReducerMemory strided_memory(const ShardPlan& plan, int rank, int first, int last,
                                           std::int64_t max_micro_batches);
// As GradientReducer chooses, for the rank's index in a replica group of data x shard.
[[nodiscard]] ReducerMemory reducer_memory(const ShardPlan& plan, int zero_stage, int data,
                                           int rank, std::int64_t max_micro_batches);

}  // namespace finescale
