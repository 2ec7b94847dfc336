// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/adamw.h: the same argument lists, f32 and f64, enqueued
// on the stream. Equal inputs give equal bits.
#pragma once

#include "kernels/adamw.h"

namespace finescale::cuda {

decltype(finescale::adamw_update) adamw_update;

}  // namespace finescale::cuda
