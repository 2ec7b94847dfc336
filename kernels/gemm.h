// SPDX-License-Identifier: Apache-2.0
// Matrix products by the vendor library that measurement favours (docs/measurements.md). Row-major.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

enum class Transpose { kNo, kYes };

// c [M, N] = alpha * op(a) op(b) + beta * c, op(a) [M, K], op(b) [K, N]. f32 or f64, row strides
// respected. The same shape on the same ISA gives the same bits on any number of threads.
void gemm(const Stream& stream, Transpose transpose_a, Transpose transpose_b, double alpha,
          const TensorView& a, const TensorView& b, double beta, const TensorView& c);

}  // namespace finescale
