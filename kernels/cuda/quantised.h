// SPDX-License-Identifier: Apache-2.0
// CUDA twin of dequantise of kernels/quantised.h: the same argument list, codes and scales in the
// device's memory on 8 bytes; f32 and f64 with the bits of the CPU, and bf16, which are those bits
// rounded.
#pragma once

#include "kernels/quantised.h"

namespace finescale::cuda {

decltype(finescale::dequantise) dequantise;

}  // namespace finescale::cuda
