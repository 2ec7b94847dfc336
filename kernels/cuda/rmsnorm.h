// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/rmsnorm.h: the same argument lists, f32 and f64, enqueued
// on the stream. Equal inputs give equal bits.
#pragma once

#include "kernels/rmsnorm.h"

namespace finescale::cuda {

decltype(finescale::rmsnorm_forward) rmsnorm_forward;
decltype(finescale::rmsnorm_backward) rmsnorm_backward;

}  // namespace finescale::cuda
