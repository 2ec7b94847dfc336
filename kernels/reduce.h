// SPDX-License-Identifier: Apache-2.0
// Elementwise sums and norms with a fixed order of addition.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/exact_sum.h"
#include "core/tensor.h"

namespace finescale {

// Sum of squares in double precision: blocks of fixed size, summed in a fixed binary tree; not
// finite if any input is not.
[[nodiscard]] double squared_norm(const Stream& stream, const TensorView& x);
// Adds the sum of squares of each block of kNormBlock elements of x [n], in double precision, to
// `total`. The blocks are counted from x's begin and `total` has no order, so no bit depends on
// threads nor on cuts of x at multiples of a block.
inline constexpr std::int64_t kNormBlock = 256;
void squared_norm_blocks(const Stream& stream, const TensorView& x, ExactSum& total);
// Sum of x [n] in double precision in a fixed order.
[[nodiscard]] double sum(const Stream& stream, const TensorView& x);
// y += x.
void add_in_place(const Stream& stream, const TensorView& x, const TensorView& y);
// y = alpha x + y.
void axpy(const Stream& stream, double alpha, const TensorView& x, const TensorView& y);
void fill_zero(const Stream& stream, const TensorView& x);
void copy(const Stream& stream, const TensorView& from, const TensorView& to);
// Index of the largest of each row of logits [B, V]; the lowest index wins a tie.
void argmax_rows(const Stream& stream, const TensorView& logits, const TensorView& indices);

}  // namespace finescale
