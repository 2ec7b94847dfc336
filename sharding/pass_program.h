// SPDX-License-Identifier: Apache-2.0
// The additions of a strided reduction: pass k has leaves k R .. k R + R - 1, one from each rank,
// and every owner of a slice carries out the same additions on it. Pure.
#pragma once

#include <cstdint>
#include <vector>

namespace finescale {

// Where an addend lies, as one integer so that it fits the slot of a tree node: sums that outlive
// their pass have numbers from 0, the leaf of rank r in this pass is -1 - r.
using Place = std::int64_t;
[[nodiscard]] constexpr Place leaf_of(int rank) noexcept {
  return -1 - rank;
}

struct Addition {  // out = left + right; out = left when right is left
  Place out;
  Place left;
  Place right;
};

struct PassPrograms {
  std::vector<std::vector<Addition>> passes;  // after the last one, sum 0 is the root
  std::int64_t num_sums = 1;                  // how many outlive a pass at most
};

[[nodiscard]] PassPrograms make_pass_programs(std::int64_t num_leaves, int ranks);
// The largest num_sums over every number of leaves up to max_leaves; grows with its logarithm.
[[nodiscard]] std::int64_t most_pass_sums(std::int64_t max_leaves, int ranks);

}  // namespace finescale
