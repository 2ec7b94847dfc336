// SPDX-License-Identifier: Apache-2.0
// Single elements of a matrix, listed by place: sparse fine-tuning reads their gradients out of the
// whole one and writes their values back.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// Elements of a whole matrix, of which a rank may have a part: places [k, 2] hold row and column
// (as f32 exact below 2^24), in any order and none twice.
struct Entries {
  TensorView places;
  std::int64_t first_row = 0;  // of the part
  std::int64_t first_column = 0;
};

// values [k] or [k, 1] += the elements of `part` [R, C] at these places; those outside of the part
// stay as they are.
void gather_entries(const Stream& stream, const Entries& entries, const TensorView& part,
                    const TensorView& values);
// Elements [begin, begin + n) of the part, row-major, at these places = values; `kept` [n] holds
// them, `columns` is the part's width.
void scatter_entries(const Stream& stream, const Entries& entries, const TensorView& values,
                     std::int64_t columns, std::int64_t begin, const TensorView& kept);
// sums [R, C] f64 += part [R, C] in whole steps of 2^-40: sums of less than 2^53 of them are exact,
// so their order means nothing.
void add_in_steps(const Stream& stream, const TensorView& part, const TensorView& sums);
inline constexpr double kSumStep = 0x1p-40;

}  // namespace finescale
