// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/bias.h: the same argument lists, f32 and f64, y and dy of
// f32 biases also bf16, enqueued on the stream. Equal inputs give equal bits.
#pragma once

#include "kernels/bias.h"

namespace finescale::cuda {

decltype(finescale::bias_add) bias_add;
// partials: scratch, [column_partials(T), C] (partial_sums.h).
void bias_gradient(const Stream& stream, const TensorView& dy, const TensorView& dbias,
                   const TensorView& partials);
decltype(finescale::affine_in_place) affine_in_place;

}  // namespace finescale::cuda
