// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/layernorm.h: the same argument lists, f32 and f64,
// enqueued on the stream. Equal inputs give equal bits.
#pragma once

#include "kernels/layernorm.h"

namespace finescale::cuda {

decltype(finescale::layernorm_forward) layernorm_forward;
decltype(finescale::layernorm_backward) layernorm_backward;

}  // namespace finescale::cuda
