// SPDX-License-Identifier: Apache-2.0
// How the units of a flat parameter block are cut into slices, one per rank. A unit is what is
// gathered, reduced and updated together: the embedding, one layer, the head. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"

namespace finescale {

struct UnitRange {  // elements of the local flat block
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] std::int64_t size() const noexcept { return end - begin; }
  [[nodiscard]] bool operator==(const UnitRange&) const noexcept = default;
};

// A parameter-shaped flat block by unit; units that are not in use may share memory.
using UnitBlocks = std::vector<TensorView>;

// Cuts lie at multiples of this from the unit's begin, so that what is computed over fixed blocks
// of the unit (norms) does not depend on them. A multiple of a cache line.
inline constexpr std::int64_t kSliceBlock = 256;

// The units [first, first + count) pass one after another: those of equal parity share memory where
// only the units in use are held. The others have memory of their own.
struct PassingUnits {
  int first = 0;
  int count = 0;
};

class ShardPlan {
 public:
  ShardPlan(std::vector<UnitRange> units, int num_slices, PassingUnits layers = {});

  // The same units in another number of slices. With the replica group's D x S slices, slice s of S
  // is slices [s D, (s + 1) D).
  [[nodiscard]] ShardPlan over(int num_slices) const;

  [[nodiscard]] int num_units() const noexcept { return static_cast<int>(units_.size()); }
  [[nodiscard]] int num_slices() const noexcept { return num_slices_; }
  [[nodiscard]] const UnitRange& unit(int unit) const {
    return units_[static_cast<std::size_t>(unit)];
  }
  [[nodiscard]] std::int64_t num_elements() const noexcept;
  // Slice r of the unit, in the flat block; empty when the unit has fewer blocks than slices.
  [[nodiscard]] UnitRange slice(int unit, int r) const;
  // Slices [first, last) of the unit: neighbours touch.
  [[nodiscard]] UnitRange slices(int unit, int first, int last) const;
  [[nodiscard]] std::int64_t longest_slice() const;

  // Memory for the units in use: which place a unit takes, and how long each place is.
  [[nodiscard]] int place(int unit) const { return places_[static_cast<std::size_t>(unit)]; }
  [[nodiscard]] const std::vector<std::int64_t>& place_sizes() const noexcept {
    return place_sizes_;
  }

 private:
  std::vector<UnitRange> units_;
  int num_slices_;
  std::vector<int> places_;
  std::vector<std::int64_t> place_sizes_;
};

}  // namespace finescale
