// SPDX-License-Identifier: Apache-2.0
// What the tree must give, written as naively as possible, and leaves whose sum depends on the
// order of addition.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"
#include "sharding/gradient_engine.h"
#include "sharding/ordered_losses.h"
#include "sharding/tree_order.h"

namespace finescale {

// Element `index` of the gradient of one micro-batch: exponents vary, so that another order gives
// other bits.
template <class T>
T leaf_value(std::int64_t micro_batch, std::int64_t index) {
  const auto words = philox(11, Purpose::kTest, static_cast<std::uint64_t>(micro_batch),
                            static_cast<std::uint64_t>(index));
  const T value = static_cast<T>(words[0]) / static_cast<T>(1U << 31) - 1;
  return value * static_cast<T>(1U << (words[1] % 12));
}

// Sum of the leaves [begin, end) that exist below a node of `width` (a power of two) leaves.
template <class T>
T naive_sum(std::int64_t begin, std::int64_t width, std::int64_t num_leaves, std::int64_t index) {
  if (width == 1) {
    return leaf_value<T>(begin, index);
  }
  const std::int64_t middle = begin + width / 2;
  const T left = naive_sum<T>(begin, width / 2, num_leaves, index);
  return middle < num_leaves ? left + naive_sum<T>(middle, width / 2, num_leaves, index) : left;
}

template <class T>
std::vector<T> naive_tree(std::int64_t num_leaves, std::int64_t num_elements) {
  std::int64_t width = 1;
  while (width < num_leaves) {
    width *= 2;
  }
  std::vector<T> sums;
  for (std::int64_t i = 0; i < num_elements; ++i) {
    sums.push_back(naive_sum<T>(0, width, num_leaves, i));
  }
  return sums;
}

// The engine of ZeRO stages 0 and 1 with one unit, gathered over the whole group.
inline std::unique_ptr<GradientEngine> whole_sum_engine(Group& group, std::int64_t num_elements,
                                                        DType dtype, std::int64_t max_leaves) {
  return make_contiguous_engine({.group = &group,
                                 .gather = &group,
                                 .first = 0,
                                 .last = group.size(),
                                 .plan = ShardPlan({{0, num_elements}}, group.size()),
                                 .dtype = dtype,
                                 .max_micro_batches = max_leaves});
}

template <class T>
std::vector<T> tree_sum(GradientEngine& engine, std::int64_t num_leaves,
                        std::int64_t num_elements) {
  for (const std::int64_t leaf : engine.begin(num_leaves)) {
    T* const values = engine.open_leaf()[0].as<T>();
    for (std::int64_t i = 0; i < num_elements; ++i) {
      values[i] = leaf_value<T>(leaf, i);
    }
    engine.close_leaf();
  }
  engine.reduce_unit(0, 0);
  const TensorView sum = engine.result(0);
  return {sum.as<T>(), sum.as<T>() + num_elements};
}

// ordered_sum_of of one leaf value per micro-batch, in contiguous ranges.
inline double ordered_leaf_sum(Group& group, std::int64_t num_leaves) {
  const MicroBatchRange range = micro_batches_of(num_leaves, group.rank(), group.size());
  std::vector<std::int64_t> indices;
  std::vector<double> values;
  for (std::int64_t leaf = range.begin; leaf < range.end; ++leaf) {
    indices.push_back(leaf);
    values.push_back(leaf_value<double>(leaf, 0));
  }
  const std::int64_t slots = (num_leaves + group.size() - 1) / group.size();
  return ordered_sum_of(group, num_leaves, slots, indices, values);
}

}  // namespace finescale
