// SPDX-License-Identifier: Apache-2.0
// Products of matrices with a vector of factors: one for each column, or for each row. Letters: T
// tokens, C columns.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// y [T, C] = x [T, C] with column c times factor [C] (times constant [C] unless that is empty). y
// may be x.
void scale_columns(const Stream& stream, const TensorView& x, const TensorView& factor,
                   const TensorView& constant, const TensorView& y);

// y [T, C] += x [T, C] with column c times factor [C].
void add_scaled_columns(const Stream& stream, const TensorView& x, const TensorView& factor,
                        const TensorView& y);

// dfactor [C] += constant * sum over T of dy x, [T, C] both, in blocks of 64 rows: the order
// depends on T only.
void scale_columns_gradient(const Stream& stream, const TensorView& dy, const TensorView& x,
                            const TensorView& constant, const TensorView& dfactor);

// A step of a matrix of `columns` columns, row by row: after = before + factor (after - before).
// before and after [n] are its elements from `first_element` on; factors [rows] are those of all
// its rows, f64.
void scale_row_steps(const Stream& stream, const TensorView& before, const TensorView& after,
                     const TensorView& factors, std::int64_t first_element, std::int64_t columns);

}  // namespace finescale
