// SPDX-License-Identifier: Apache-2.0
#include "sharding/shard_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"

namespace finescale {

ShardPlan::ShardPlan(std::vector<UnitRange> units, int num_slices, PassingUnits layers)
    : units_(std::move(units)), num_slices_(num_slices) {
  FS_CHECK(num_slices >= 1 && !units_.empty(), "nothing to cut");
  FS_CHECK(layers.first >= 0 && layers.count >= 0 && layers.first + layers.count <= num_units(),
           "layers outside the units");
  std::array<int, 2> shared{-1, -1};
  for (int index = 0; index < num_units(); ++index) {
    FS_CHECK(unit(index).size() >= 0 && (index == 0 || unit(index).begin >= unit(index - 1).end),
             "units overlap");
    const int layer = index - layers.first;
    int place = -1;
    if (layer >= 0 && layer < layers.count) {
      place = shared[static_cast<std::size_t>(layer % 2)];
    }
    if (place < 0) {
      place = static_cast<int>(place_sizes_.size());
      place_sizes_.push_back(0);
    }
    if (layer >= 0 && layer < layers.count) {
      shared[static_cast<std::size_t>(layer % 2)] = place;
    }
    std::int64_t& size = place_sizes_[static_cast<std::size_t>(place)];
    size = std::max(size, unit(index).size());
    places_.push_back(place);
  }
}

ShardPlan ShardPlan::over(int num_slices) const {
  ShardPlan plan = *this;
  plan.num_slices_ = num_slices;
  return plan;
}

std::int64_t ShardPlan::num_elements() const noexcept {
  std::int64_t sum = 0;
  for (const UnitRange& range : units_) {
    sum += range.size();
  }
  return sum;
}

UnitRange ShardPlan::slice(int unit, int r) const {
  return slices(unit, r, r + 1);
}

UnitRange ShardPlan::slices(int unit_index, int first, int last) const {
  const UnitRange& whole = unit(unit_index);
  const std::int64_t blocks = (whole.size() + kSliceBlock - 1) / kSliceBlock;
  const auto cut = [&](int r) {
    return std::min(whole.end, whole.begin + blocks * r / num_slices_ * kSliceBlock);
  };
  return {cut(first), cut(last)};
}

std::int64_t ShardPlan::longest_slice() const {
  std::int64_t longest = 0;
  for (int index = 0; index < num_units(); ++index) {
    for (int r = 0; r < num_slices_; ++r) {
      longest = std::max(longest, slice(index, r).size());
    }
  }
  return longest;
}

}  // namespace finescale
