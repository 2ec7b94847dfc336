// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/slabs.h"

namespace finescale {

LocalPart whole_of(const Shape& shape) {
  LocalPart part{shape, shape};
  part.offset.dims = {};
  return part;
}

Runs::Runs(const Shape& shape, const LocalPart& slab) : shape_(shape), slab_(slab) {
  if (slab.shape.num_elements() == 0) {
    return;
  }
  axis_ = shape.rank - 1;
  while (axis_ > 0 && slab.shape[axis_] == shape[axis_]) {
    inner_ *= shape[axis_];
    --axis_;
  }
  length_ = slab.shape[axis_] * inner_;
  count_ = slab.shape.num_elements() / length_;
}

std::int64_t Runs::first(std::int64_t number) const {
  std::int64_t element = slab_.offset[axis_] * inner_;
  std::int64_t stride = shape_[axis_] * inner_;
  for (int outer = axis_ - 1; outer >= 0; --outer) {
    element += (slab_.offset[outer] + number % slab_.shape[outer]) * stride;
    number /= slab_.shape[outer];
    stride *= shape_[outer];
  }
  return element;
}

std::int64_t Runs::behind(std::int64_t element) const {
  std::int64_t low = 0;
  std::int64_t high = count_;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (first(middle) + length_ > element) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace finescale
