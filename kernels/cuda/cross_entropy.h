// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/cross_entropy.h: the same argument lists, f32 and f64,
// enqueued on the stream. Equal inputs give equal bits.
#pragma once

#include "kernels/cross_entropy.h"

namespace finescale::cuda {

decltype(finescale::cross_entropy_in_place) cross_entropy_in_place;
decltype(finescale::cross_entropy_statistics) cross_entropy_statistics;
decltype(finescale::cross_entropy_combine) cross_entropy_combine;
decltype(finescale::cross_entropy_finish) cross_entropy_finish;

}  // namespace finescale::cuda
