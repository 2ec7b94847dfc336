// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/layernorm.h: the same argument lists, f32 and f64, where
// all is f32 the output also bf16, enqueued on the stream. Equal inputs give equal bits.
#pragma once

#include "kernels/layernorm.h"

namespace finescale::cuda {

decltype(finescale::layernorm_forward) layernorm_forward;
// partials: scratch, [norm_partials(T), C] (partial_sums.h) in the type of dweight.
void layernorm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& statistics,
                        const TensorView& dx, const TensorView& dweight,
                        const TensorView& partials);

}  // namespace finescale::cuda
