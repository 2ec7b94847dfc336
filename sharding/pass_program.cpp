// SPDX-License-Identifier: Apache-2.0
#include "sharding/pass_program.h"

#include <algorithm>
#include <bit>

#include "sharding/tree_order.h"

namespace finescale {

namespace {

// Counting every number of leaves is quadratic; above this the depth of the tree bounds the sums.
constexpr std::int64_t kMaxCounted = 1024;

struct FreeSums {
  std::vector<Place> free;
  Place next = 0;
  Place take() {
    if (free.empty()) {
      return next++;  // the leftmost sum takes 0 and stays there
    }
    const Place sum = free.back();
    free.pop_back();
    return sum;
  }
};

// What outlives the pass moves out of the leaves: its last addition writes to `sum`. A sum that
// became free was read before that, because all to its right had been added to it.
Place keep(std::vector<Addition>& program, Place from, Place sum) {
  const auto last = std::find_if(program.rbegin(), program.rend(),
                                 [&](const Addition& a) { return a.out == from; });
  if (last != program.rend()) {
    last->out = sum;
  } else {
    program.push_back({sum, from, from});
  }
  return sum;
}

}  // namespace

PassPrograms make_pass_programs(std::int64_t num_leaves, int ranks) {
  PassPrograms programs;
  std::vector<TreeNode> stack;
  FreeSums sums;
  for (std::int64_t first = 0; first < num_leaves; first += ranks) {
    std::vector<Addition> program;
    const auto add = [&](Place left, Place right) {
      program.push_back({left, left, right});
      if (right >= 0) {
        sums.free.push_back(right);
      }
    };
    for (int rank = 0; rank < ranks && first + rank < num_leaves; ++rank) {
      push_node(stack, {0, first + rank, leaf_of(rank)}, num_leaves, add);
    }
    for (TreeNode& node : stack) {
      if (node.slot < 0) {
        node.slot = keep(program, node.slot, sums.take());
      }
    }
    programs.passes.push_back(std::move(program));
  }
  programs.num_sums = std::max<Place>(1, sums.next);
  return programs;
}

std::int64_t most_pass_sums(std::int64_t max_leaves, int ranks) {
  if (max_leaves > kMaxCounted) {
    return static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(max_leaves))) + 1;
  }
  std::int64_t most = 1;
  for (std::int64_t leaves = 1; leaves <= max_leaves; ++leaves) {
    most = std::max(most, make_pass_programs(leaves, ranks).num_sums);
  }
  return most;
}

}  // namespace finescale
