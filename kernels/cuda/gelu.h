// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/gelu.h: the same argument lists, f32, bf16 and f64,
// enqueued on the stream. Equal inputs give equal bits.
#pragma once

#include "kernels/gelu.h"

namespace finescale::cuda {

decltype(finescale::gelu_forward) gelu_forward;
decltype(finescale::gelu_backward) gelu_backward;
decltype(finescale::geglu_forward) geglu_forward;
decltype(finescale::geglu_backward) geglu_backward;

}  // namespace finescale::cuda
