// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/slabs.h"

namespace finescale {

namespace {

// [begin, end) of the axes from `axis` on; what lies in front of them is fixed by `slab`.
void add_slabs(const LocalPart& part, LocalPart slab, int axis, std::int64_t begin,
               std::int64_t end, std::vector<LocalPart>& out) {
  if (begin == end) {
    return;
  }
  std::int64_t row = 1;
  for (int inner = axis + 1; inner < part.shape.rank; ++inner) {
    row *= part.shape[inner];
  }
  const auto at = static_cast<std::size_t>(axis);
  const auto rows = [&](std::int64_t first, std::int64_t count) {
    LocalPart piece = slab;
    piece.offset.dims[at] = part.offset[axis] + first;
    piece.shape.dims[at] = count;
    return piece;
  };
  const std::int64_t first_row = begin / row;
  const std::int64_t last_row = end / row;
  if (begin % row != 0 && first_row == last_row) {
    add_slabs(part, rows(first_row, 1), axis + 1, begin % row, end % row, out);
    return;
  }
  std::int64_t first_whole = first_row;
  if (begin % row != 0) {
    add_slabs(part, rows(first_row, 1), axis + 1, begin % row, row, out);
    ++first_whole;
  }
  if (first_whole < last_row) {
    out.push_back(rows(first_whole, last_row - first_whole));
  }
  if (end % row != 0) {
    add_slabs(part, rows(last_row, 1), axis + 1, 0, end % row, out);
  }
}

}  // namespace

LocalPart whole_of(const Shape& shape) {
  LocalPart part{shape, shape};
  part.offset.dims = {};
  return part;
}

std::vector<LocalPart> slabs_of(const LocalPart& part, std::int64_t begin, std::int64_t end) {
  std::vector<LocalPart> slabs;
  add_slabs(part, part, 0, begin, end, slabs);
  return slabs;
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
