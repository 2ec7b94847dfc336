// SPDX-License-Identifier: Apache-2.0
// Counts what the exact summation tree holds: node (level, index) covers the leaves
// [index 2^level, (index + 1) 2^level) that exist; siblings merge as soon as both are there.
#include <algorithm>
#include <bit>
#include <vector>

#include "sharding/planner/memory.h"

namespace finescale::planner {

namespace {

struct Node {
  int level;
  std::int64_t index;
};

void push(std::vector<Node>& stack, Node node, std::int64_t leaves) {
  for (;;) {
    while (node.index % 2 == 0 && (std::int64_t{1} << node.level) < leaves &&
           ((node.index + 1) << node.level) >= leaves) {
      node = {node.level + 1, node.index / 2};  // no right sibling exists
    }
    if (node.index % 2 == 0 || stack.empty() || stack.back().level != node.level ||
        stack.back().index != node.index - 1) {
      break;
    }
    stack.pop_back();
    node = {node.level + 1, node.index / 2};
  }
  stack.push_back(node);
}

struct Count {
  std::int64_t peak = 0;
  std::int64_t left = 0;  // when all leaves of the range are in
};

Count count_range(std::int64_t begin, std::int64_t end, std::int64_t leaves) {
  std::vector<Node> stack;
  Count count;
  for (std::int64_t leaf = begin; leaf < end; ++leaf) {
    count.peak = std::max(count.peak, std::ssize(stack) + 1);  // held before it is merged
    push(stack, {0, leaf}, leaves);
  }
  count.left = std::ssize(stack);
  return count;
}

// Above it counting every number of leaves takes too long for a table of meshes.
constexpr std::int64_t kMaxCounted = 64;

}  // namespace

TreeBuffers tree_buffers(std::int64_t micro_batches, int ranks) {
  TreeBuffers buffers;
  if (micro_batches > kMaxCounted) {
    const std::int64_t local = (micro_batches + ranks - 1) / ranks;
    buffers.own = std::bit_width(static_cast<std::uint64_t>(local)) + (ranks > 1 ? 1 : 0);
    buffers.foreign = 2 * (ranks - 1);
    return buffers;
  }
  for (std::int64_t leaves = 1; leaves <= micro_batches; ++leaves) {
    std::int64_t all = 0;
    std::int64_t least = leaves;
    for (int rank = 0; rank < ranks; ++rank) {
      const Count count = count_range(leaves * rank / ranks, leaves * (rank + 1) / ranks, leaves);
      buffers.own = std::max(buffers.own, count.peak);
      all += count.left;
      least = std::min(least, count.left);
    }
    buffers.foreign = std::max(buffers.foreign, all - least);
  }
  return buffers;
}

}  // namespace finescale::planner
