// SPDX-License-Identifier: Apache-2.0
// f32 matrices as matrix products of bf16 take them (core/device.h, Products).
#pragma once

#include "core/device.h"
#include "core/tensor.h"
#include "kernels/round.h"

namespace finescale::cuda {

decltype(finescale::round_to_bf16) round_to_bf16;

// Whether products of these f32 tensors are of rounded operands on this stream.
[[nodiscard]] inline bool rounds_products(const Stream& stream, const TensorView& x) {
  return stream.products() == Products::kBf16 && x.dtype == DType::kF32;
}

}  // namespace finescale::cuda
