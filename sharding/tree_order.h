// SPDX-License-Identifier: Apache-2.0
// The shape of the summation tree, without data: which nodes a contiguous range of leaves forms,
// and in which order they merge. One algorithm serves a rank's own leaves, the nodes of all ranks,
// and single numbers.
#pragma once

#include <cstdint>
#include <vector>

namespace finescale {

// Which micro-batches of a global batch each data rank computes: contiguous, balanced, in rank
// order.
struct MicroBatchRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
[[nodiscard]] MicroBatchRange micro_batches_of(std::int64_t num_micro_batches, int data_rank,
                                               int data_size) noexcept;

// Node (level, index) covers leaves [index 2^level, (index+1) 2^level) that exist. `slot` says
// where its sum lies.
struct TreeNode {
  int level = 0;
  std::int64_t index = 0;
  std::int64_t slot = 0;
};

// Adds the next node to the right of those on the stack. A node without a right sibling (no leaf
// there) is its parent; two siblings become their parent by merge(left slot, right slot), whose sum
// goes into the left slot.
template <class Merge>
void push_node(std::vector<TreeNode>& stack, TreeNode node, std::int64_t num_leaves,
               Merge&& merge) {
  for (;;) {
    while (node.index % 2 == 0 && (std::int64_t{1} << node.level) < num_leaves &&
           ((node.index + 1) << node.level) >= num_leaves) {
      ++node.level;
      node.index /= 2;
    }
    if (node.index % 2 == 0 || stack.empty() || stack.back().level != node.level ||
        stack.back().index != node.index - 1) {
      break;
    }
    const std::int64_t left = stack.back().slot;
    merge(left, node.slot);
    stack.pop_back();
    node = {node.level + 1, node.index / 2, left};
  }
  stack.push_back(node);
}

// The nodes that remain when a rank has merged all it can of its range, left to right; slots are
// zero.
[[nodiscard]] std::vector<TreeNode> partial_nodes(MicroBatchRange range, std::int64_t num_leaves);

// How many sums are held at most: by one rank for its own leaves, and by all ranks but this for the
// final merge; the largest over every number of leaves up to max_leaves.
struct TreeNeeds {
  std::int64_t own_buffers = 1;
  std::int64_t foreign_nodes = 0;
};
[[nodiscard]] TreeNeeds tree_needs(std::int64_t max_leaves, int rank, int size);

}  // namespace finescale
