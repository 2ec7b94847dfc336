// SPDX-License-Identifier: Apache-2.0
#include "sharding/tree_order.h"

#include <algorithm>
#include <bit>

namespace finescale {

namespace {

// Up to here the needs are counted for every number of leaves; above it (thousands of micro-batches
// in one step) the bound 2 log2 is used, because counting is quadratic.
constexpr std::int64_t kMaxCounted = 2048;

std::int64_t peak_buffers(MicroBatchRange range, std::int64_t num_leaves) {
  std::vector<TreeNode> stack;
  std::size_t peak = 0;
  for (std::int64_t leaf = range.begin; leaf < range.end; ++leaf) {
    peak = std::max(peak, stack.size() + 1);  // the leaf is in memory before it is merged
    push_node(stack, {0, leaf, 0}, num_leaves, [](std::int64_t, std::int64_t) {});
  }
  return static_cast<std::int64_t>(peak);
}

}  // namespace

MicroBatchRange micro_batches_of(std::int64_t num_micro_batches, int data_rank,
                                 int data_size) noexcept {
  return {num_micro_batches * data_rank / data_size,
          num_micro_batches * (data_rank + 1) / data_size};
}

std::vector<TreeNode> partial_nodes(MicroBatchRange range, std::int64_t num_leaves) {
  std::vector<TreeNode> stack;
  for (std::int64_t leaf = range.begin; leaf < range.end; ++leaf) {
    push_node(stack, {0, leaf, 0}, num_leaves, [](std::int64_t, std::int64_t) {});
  }
  return stack;
}

TreeNeeds tree_needs(std::int64_t max_leaves, int rank, int size) {
  TreeNeeds needs;
  if (max_leaves > kMaxCounted) {
    const auto levels =
        static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(max_leaves)));
    needs.own_buffers = 2 * levels + 1;
    needs.foreign_nodes = 2 * levels * (size - 1);
    return needs;
  }
  for (std::int64_t leaves = 1; leaves <= max_leaves; ++leaves) {
    needs.own_buffers =
        std::max(needs.own_buffers, peak_buffers(micro_batches_of(leaves, rank, size), leaves));
    std::int64_t foreign = 0;
    for (int other = 0; other < size; ++other) {
      if (other != rank) {
        foreign += std::ssize(partial_nodes(micro_batches_of(leaves, other, size), leaves));
      }
    }
    needs.foreign_nodes = std::max(needs.foreign_nodes, foreign);
  }
  return needs;
}

}  // namespace finescale
