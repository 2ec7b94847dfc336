// SPDX-License-Identifier: Apache-2.0
// Rounding to bf16: the upper half of an f32, to nearest, ties to even.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// rounded [R, C] = x [R, C] rounded to bf16; on the CPU both f32 or bf16, on a GPU f32 to bf16. Row
// strides respected. NaN stays NaN.
void round_to_bf16(const Stream& stream, const TensorView& x, const TensorView& rounded);

// Elements between rows of bf16 that products read: on 16 bytes, as tensor cores want them.
[[nodiscard]] constexpr std::int64_t rounded_stride(std::int64_t cols) noexcept {
  return (cols + 7) / 8 * 8;
}

}  // namespace finescale
