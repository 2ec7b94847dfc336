// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/head_norm.h: the same argument lists, f32 and f64,
// enqueued on the stream. Equal inputs give equal bits.
#pragma once

#include "kernels/head_norm.h"

namespace finescale::cuda {

decltype(finescale::head_norm_forward) head_norm_forward;
decltype(finescale::head_norm_backward) head_norm_backward;

}  // namespace finescale::cuda
