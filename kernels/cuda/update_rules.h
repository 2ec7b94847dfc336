// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/lion.h and kernels/sgd.h: the same argument lists, f32
// and f64, enqueued on the stream. Equal inputs give equal bits.
#pragma once

#include "kernels/lion.h"
#include "kernels/sgd.h"

namespace finescale::cuda {

decltype(finescale::lion_update) lion_update;
decltype(finescale::sgd_update) sgd_update;

}  // namespace finescale::cuda
