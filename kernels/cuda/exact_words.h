// SPDX-License-Identifier: Apache-2.0
// Exact sums of doubles (core/exact_sum.h) on a GPU: every thread adds to a fixed-point number of
// its own, so there are no atomics and nothing is rounded.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale::cuda {

// words [rows, ExactSum::kNumWords] of 64 bits += the sum of values [n] f64, in parts: the sums of
// its columns are its words. One block of threads for each row.
void exact_words(const Stream& stream, const TensorView& values, const TensorView& words);

}  // namespace finescale::cuda
