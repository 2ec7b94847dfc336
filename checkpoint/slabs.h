// SPDX-License-Identifier: Apache-2.0
// Where a part of a tensor lies in the whole: hyperslabs of a flat range, and the runs of a
// hyperslab that are contiguous in the whole. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "sharding/layout.h"

namespace finescale {

[[nodiscard]] LocalPart whole_of(const Shape& shape);
// Flat range [begin, end) of a part, row-major, as hyperslabs of the whole in the order of the
// range: at most 1, 3, 5 or 7 of them for 1 to 4 dimensions.
[[nodiscard]] std::vector<LocalPart> slabs_of(const LocalPart& part, std::int64_t begin,
                                              std::int64_t end);

// Calls body(first, count) for each run of elements of `slab` that is contiguous in the row-major
// whole, in row-major order.
template <class Body>
void for_each_run(const Shape& shape, const LocalPart& slab, Body body) {
  if (slab.shape.num_elements() == 0) {
    return;
  }
  int axis = shape.rank - 1;  // the axes behind it are held whole
  std::int64_t inner = 1;
  while (axis > 0 && slab.shape[axis] == shape[axis]) {
    inner *= shape[axis];
    --axis;
  }
  const std::int64_t run = slab.shape[axis] * inner;
  for (std::int64_t number = 0; number < slab.shape.num_elements() / run; ++number) {
    std::int64_t first = slab.offset[axis] * inner;
    std::int64_t stride = shape[axis] * inner;
    std::int64_t rest = number;
    for (int outer = axis - 1; outer >= 0; --outer) {
      first += (slab.offset[outer] + rest % slab.shape[outer]) * stride;
      rest /= slab.shape[outer];
      stride *= shape[outer];
    }
    body(first, run);
  }
}

}  // namespace finescale
