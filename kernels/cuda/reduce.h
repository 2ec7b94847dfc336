// SPDX-License-Identifier: Apache-2.0
// CUDA twins of operations of kernels/reduce.h, enqueued on the stream; their results stay in the
// device's memory. Orders of addition depend on sizes only.
#pragma once

#include <cstdint>

#include "kernels/reduce.h"

namespace finescale::cuda {

// x [n] f32, bf16 or f64. sums [ceil(n / kNormBlock)] f64 receive what the twin adds to its total,
// for f32 with the same bits.
void squared_norm_blocks(const Stream& stream, const TensorView& x, const TensorView& sums);

// out [n] f64 = x [n] f32, bf16 or f64.
void to_double(const Stream& stream, const TensorView& x, const TensorView& out);

// f64 elements of scratch that tree_sum needs for n values.
[[nodiscard]] std::int64_t tree_sum_scratch(std::int64_t count);
// total [1] f64 += values [n] f64, in a tree whose nodes have kTreeFan children. scratch [m] f64.
inline constexpr std::int64_t kTreeFan = 1024;
void tree_sum(const Stream& stream, const TensorView& values, const TensorView& scratch,
              const TensorView& total);

// f32, bf16 and f64, dense.
decltype(finescale::axpy) axpy;
decltype(finescale::add_in_place) add_in_place;
// f32, bf16 and f64.
decltype(finescale::argmax_rows) argmax_rows;

}  // namespace finescale::cuda
