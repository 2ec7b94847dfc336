// SPDX-License-Identifier: Apache-2.0
// The norm of a gradient in many pieces, and clipping by it, in the memory of a GPU: the host waits
// for neither. Sums are exact (core/exact_sum.h), as words of 64 bits, whatever the type of their
// tensors is called; rows of words stand for the sum of what they stand for. On the CPU the host
// does the same (squared_norm_blocks).
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// How many rows of words are worth having where `count` elements are added at once.
[[nodiscard]] std::int64_t square_rows(std::int64_t count) noexcept;
// words [rows, ExactSum::kNumWords] += the squares of x [n], block by block as squared_norm_blocks.
void add_squares(const Stream& stream, const TensorView& x, const TensorView& words);
// total [1, ExactSum::kNumWords] = the sum of the rows of words [rows, ExactSum::kNumWords].
void sum_words(const Stream& stream, const TensorView& words, const TensorView& total);
// norm [1] f64 = the root of the sum of squares that one row of words stands for, to the bit that
// of ExactSum::value() on the host.
void root_of_words(const Stream& stream, const TensorView& words, const TensorView& norm);
// Of each of `count` rows of StepFactors of the dtype: the scale, max_norm / norm [1] f64 where
// that is below 1, else 1; max_norm 0: 1. NaN where the norm is not finite, and nothing moves.
void clip_factors(const Stream& stream, const TensorView& norm, double max_norm, DType dtype,
                  void* rows, std::int64_t count);

}  // namespace finescale
