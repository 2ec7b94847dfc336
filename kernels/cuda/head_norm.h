// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/head_norm.h: the same argument lists, f32 and f64, and
// bf16 with weights, their gradient and rstd in f32, enqueued on the stream. Equal inputs give
// equal bits.
#pragma once

#include "kernels/head_norm.h"

namespace finescale::cuda {

decltype(finescale::head_norm_forward) head_norm_forward;
// partials: scratch, [column_partials(T), C] (partial_sums.h) in the type of dweight.
void head_norm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                        const TensorView& dweight, const TensorView& partials);

}  // namespace finescale::cuda
