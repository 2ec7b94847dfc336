// SPDX-License-Identifier: Apache-2.0
// Products of f32 matrices whose operands are rounded to bf16, sums in f32 (Products::kBf16). b may
// be stored as bf16 already.
#pragma once

#include <span>

#include "core/tensor.h"
#include "kernels/gemm.h"

namespace finescale::cpu {

// As gemm and gemm_by_rows. Only where multiplies_bf16(). An element is one sum over K in an order
// that depends on K alone: no bit depends on threads, on the cuts, nor on the other rows.
void multiply_bf16(Transpose transpose_a, Transpose transpose_b, const RowProduct& product);
void multiply_bf16_by_rows(Transpose transpose_b, std::span<const RowProduct> products);

// For other machines, whose library then multiplies in f32: a dense f32 copy of x [R, C], f32 or
// bf16, rounded to bf16. Valid until the next call for the same operand.
enum class Operand { kLeft, kRight };
[[nodiscard]] TensorView rounded_copy(Operand operand, const TensorView& x);

}  // namespace finescale::cpu
