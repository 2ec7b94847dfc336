// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/swiglu.h: the same argument lists, f32, bf16 and f64,
// enqueued on the stream.
#pragma once

#include "kernels/swiglu.h"

namespace finescale::cuda {

decltype(finescale::swiglu_forward) swiglu_forward;
decltype(finescale::swiglu_backward) swiglu_backward;

}  // namespace finescale::cuda
