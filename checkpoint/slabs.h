// SPDX-License-Identifier: Apache-2.0
// Where a part of a tensor lies in the whole: the runs of a hyperslab that are contiguous
// in the whole. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "sharding/layout.h"

namespace finescale {

[[nodiscard]] LocalPart whole_of(const Shape& shape);
// The runs of elements of a hyperslab that are contiguous in the row-major whole, in row-major
// order; all have one length.
class Runs {
 public:
  Runs(const Shape& shape, const LocalPart& slab);
  [[nodiscard]] std::int64_t count() const { return count_; }
  [[nodiscard]] std::int64_t length() const { return length_; }
  [[nodiscard]] std::int64_t first(std::int64_t number) const;  // element of the whole
  // The first run that ends behind this element of the whole; count() when there is none.
  [[nodiscard]] std::int64_t behind(std::int64_t element) const;

 private:
  Shape shape_;
  LocalPart slab_;
  int axis_ = 0;            // the axes behind it are held whole
  std::int64_t inner_ = 1;  // elements of those
  std::int64_t length_ = 0;
  std::int64_t count_ = 0;
};

}  // namespace finescale
