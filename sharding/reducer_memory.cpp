// SPDX-License-Identifier: Apache-2.0
#include "sharding/reducer_memory.h"

#include <algorithm>

#include "sharding/pass_program.h"
#include "sharding/tree_order.h"

namespace finescale {

namespace {

std::int64_t window_of(const ShardPlan& plan) {
  return std::clamp<std::int64_t>(plan.longest_slice(), 1, kExchangeWindow);
}

}  // namespace

ReducerMemory contiguous_memory(const ShardPlan& plan, int rank, std::int64_t max_micro_batches) {
  const TreeNeeds needs = tree_needs(max_micro_batches, rank, plan.num_slices());
  ReducerMemory memory;
  memory.num_sums = needs.own_buffers;
  memory.leaves = needs.own_buffers * (plan.unit(plan.num_units() - 1).end - plan.unit(0).begin);
  memory.staging = needs.foreign_nodes * window_of(plan);
  return memory;
}

ReducerMemory strided_memory(const ShardPlan& plan, int rank, int first, int last,
                             std::int64_t max_micro_batches) {
  ReducerMemory memory;
  memory.num_sums = most_pass_sums(max_micro_batches, plan.num_slices());
  std::int64_t slices = 0;
  for (int unit = 0; unit < plan.num_units(); ++unit) {
    memory.result += plan.slices(unit, first, last).size();
    slices += plan.slice(unit, rank).size();
  }
  for (const std::int64_t size : plan.place_sizes()) {
    memory.leaves += size;
  }
  memory.sums = (memory.num_sums - 1) * slices;  // sum 0 lies in the result
  memory.staging = (plan.num_slices() - 1) * window_of(plan);
  return memory;
}

ReducerMemory reducer_memory(const ShardPlan& plan, int zero_stage, int data, int rank,
                             std::int64_t max_micro_batches) {
  const int first = rank / data * data;
  return zero_stage >= 2 && plan.num_slices() > 1
             ? strided_memory(plan, rank, first, first + data, max_micro_batches)
             : contiguous_memory(plan, rank, max_micro_batches);
}

}  // namespace finescale
