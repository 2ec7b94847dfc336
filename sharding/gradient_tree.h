// SPDX-License-Identifier: Apache-2.0
// Sums gradients over the micro-batch index in one fixed binary tree, inside a rank and across the
// data axis, so that every number of ranks and every accumulation split gives the same bits. Node
// (level l, j) covers micro-batches [j 2^l, (j+1) 2^l); a missing micro-batch is skipped, not added
// as zero.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "comm/group.h"
#include "core/device.h"
#include "core/tensor.h"
#include "sharding/tree_order.h"

namespace finescale {

class GradientTree {
 public:
  // num_elements of dtype (f32 or f64) are summed. Buffers for max_micro_batches are allocated
  // here, never later.
  GradientTree(Group& data_group, std::int64_t num_elements, DType dtype,
               std::int64_t max_micro_batches);
  ~GradientTree();
  GradientTree(const GradientTree&) = delete;
  GradientTree& operator=(const GradientTree&) = delete;

  void begin(std::int64_t num_micro_batches);
  // Where the backward pass of the next micro-batch of this rank accumulates; zeroed (the only
  // memory that is cleared: one leaf per micro-batch). Micro-batches of this rank's range must come
  // in ascending order, finish_leaf after each.
  [[nodiscard]] TensorView next_leaf(const Stream& stream);
  void finish_leaf(const Stream& stream);
  // The sum over all micro-batches of all ranks, the same bits on every rank; valid until the next
  // begin(), and the caller may change it in place. With one rank and one micro-batch it is the
  // leaf itself. Losses: see ordered_sum. Collective over the data group.
  [[nodiscard]] TensorView reduce(const Stream& stream);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Sum of one double per micro-batch in the same tree; values holds this rank's range. Collective
// over the data group.
[[nodiscard]] double ordered_sum(Group& data_group, std::int64_t num_micro_batches,
                                 std::span<const double> values);

}  // namespace finescale
