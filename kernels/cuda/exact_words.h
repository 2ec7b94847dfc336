// SPDX-License-Identifier: Apache-2.0
// Exact sums of doubles (core/exact_sum.h) on a GPU: every thread adds to a fixed-point number of
// its own, so there are no atomics and nothing is rounded.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale::cuda {

// Rows of words that exact_words() writes for `count` values; any number of rows stands for their
// sum.
[[nodiscard]] std::int64_t exact_word_rows(std::int64_t count) noexcept;

// words [exact_word_rows(n), ExactSum::kNumWords] of 64 bits: their sums by column are the words of
// the sum of values [n] f64.
void exact_words(const Stream& stream, const TensorView& values, const TensorView& words);

}  // namespace finescale::cuda
