// SPDX-License-Identifier: Apache-2.0
// y = x W^T where a row of y has the same bits whatever the other rows are and however many: for
// generation, whose batches change from token to token. Row-major.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// y [M, N] = alpha * x [M, K] w [N, K]^T + beta * y. f32 or f64, or w bf16 and the others f32 with
// the bits of w's values in f32; row strides respected. Each element is one sum over K in an order
// that depends on K and the ISA (or a GPU) alone, so no bit depends on M nor on threads. W is read
// once for every 96 rows, on a GPU for every 64: with few rows the rate is that of memory.
void row_gemm(const Stream& stream, double alpha, const TensorView& x, const TensorView& w,
              double beta, const TensorView& y);

}  // namespace finescale
