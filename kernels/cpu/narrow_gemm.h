// SPDX-License-Identifier: Apache-2.0
// Products of f32 with a narrow result, as gradients of low-rank branches are: the library packs
// both operands for a large product and spends more on that than on these.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "kernels/gemm.h"

namespace finescale::cpu {

// Whether the narrow kernel multiplies op(a) [m, k] op(b) [k, n] faster than the library.
// With op(a) = a it does not (docs/kernels.md, lora_a and lora_b).
[[nodiscard]] constexpr bool is_narrow(Transpose transpose_a, std::int64_t m,
                                       std::int64_t n) noexcept {
  constexpr std::int64_t kNarrow = 32;
  return transpose_a == Transpose::kYes && (m <= kNarrow || n <= kNarrow);
}

// c [m, n] = alpha a^T op(b) + beta c; row strides respected. An element is a sum over pieces of K,
// each in ascending order; the shape alone says which pieces.
void multiply_narrow(Transpose transpose_b, float alpha, const TensorView& a, const TensorView& b,
                     float beta, const TensorView& c);

}  // namespace finescale::cpu
