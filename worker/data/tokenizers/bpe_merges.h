// SPDX-License-Identifier: Apache-2.0
// Applies byte-pair merges to the symbols of one piece. Symbols are ids of the vocabulary.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/data/bpe.h"

namespace finescale {

class BpeMerges {
 public:
  // The rank of a merge is its index; of two merges of one pair the later counts.
  explicit BpeMerges(std::vector<BpeMerge> merges);
  // Lowest rank first, leftmost on ties, in place: O(n log n).
  void apply(std::vector<std::int32_t>& symbols) const;
  [[nodiscard]] const std::vector<BpeMerge>& merges() const noexcept { return merges_; }

 private:
  struct Slot {
    std::uint64_t pair = kFree;
    std::int32_t rank = 0;
  };
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};
  static constexpr std::int32_t kNone = INT32_MAX;

  [[nodiscard]] std::int32_t rank(std::int32_t left, std::int32_t right) const noexcept;
  void apply_short(std::vector<std::int32_t>& symbols) const;
  void apply_long(std::vector<std::int32_t>& symbols) const;

  std::vector<BpeMerge> merges_;
  std::vector<Slot> slots_;  // open addressing by pair
};

}  // namespace finescale
