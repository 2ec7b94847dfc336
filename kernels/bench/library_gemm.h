// SPDX-License-Identifier: Apache-2.0
// What the vendor's matrix product reaches by itself, on this process's threads.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "kernels/gemm.h"

namespace finescale::bench {

// c [M, N] = op(a) op(b) by dnnl_sgemm with the threads of this process. f32, row strides
// respected.
void library_gemm(Transpose transpose_a, Transpose transpose_b, const TensorView& a,
                  const TensorView& b, const TensorView& c);

// FLOP per second of dnnl_sgemm, c [M, N] = op(a) op(b), dense row-major f32, operands of the
// given shape in memory that was just used; the best of several calls.
[[nodiscard]] double library_gemm_rate(bool transpose_a, bool transpose_b, std::int64_t m,
                                       std::int64_t n, std::int64_t k);

}  // namespace finescale::bench
