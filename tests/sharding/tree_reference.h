// SPDX-License-Identifier: Apache-2.0
// What the tree must give, written as naively as possible, and leaves whose sum depends on the
// order of addition.
#pragma once

#include <cstdint>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"
#include "sharding/gradient_tree.h"

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

template <class T>
std::vector<T> tree_sum(Group& group, GradientTree& tree, std::int64_t num_leaves,
                        std::int64_t num_elements) {
  const Stream stream;
  tree.begin(num_leaves);
  const MicroBatchRange range = micro_batches_of(num_leaves, group.rank(), group.size());
  for (std::int64_t leaf = range.begin; leaf < range.end; ++leaf) {
    const TensorView view = tree.next_leaf(stream);
    for (std::int64_t i = 0; i < num_elements; ++i) {
      view.as<T>()[i] += leaf_value<T>(leaf, i);  // += shows that the leaf is cleared
    }
    tree.finish_leaf(stream);
  }
  const TensorView sum = tree.reduce(stream);
  return {sum.as<T>(), sum.as<T>() + num_elements};
}

}  // namespace finescale
