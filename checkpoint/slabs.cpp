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

}  // namespace finescale
