// SPDX-License-Identifier: Apache-2.0
// What AVX512-BF16 does in a product of matrices rounded to bf16: packing of operands and tiles of
// C. A pair is two neighbours along K in 32 bits, the first in the low half; an odd K ends with a
// zero. Only where multiplies_bf16(); threads call, each with its own output.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace finescale::cpu {

inline constexpr std::int64_t kTileRows =
    6;                                      // 24 sums, 4 vectors of B and one of A in 32 registers
inline constexpr std::int64_t kPanel = 64;  // columns of a panel of B
inline constexpr std::int64_t kDepth = 1024;     // of K at most, summed in registers
inline constexpr std::int64_t kBlockRows = 192;  // of A at most, packed at once
inline constexpr std::int64_t kBlockPairs = kBlockRows * (kDepth / 2 + 16);  // room for them

// Rows of A as pairs: pair p of row r lies at data[r * row_step + p * pair_step].
struct PackedRows {
  const std::uint32_t* data;
  std::int64_t row_step;
  std::int64_t pair_step;
};

// x [rows, depth] f32 -> out, at most kBlockPairs.
PackedRows pack_rows(const TensorView& x, std::uint32_t* out);
// The same of the transpose: x [depth, rows].
PackedRows pack_rows_transposed(const TensorView& x, std::uint32_t* out);
// b [depth, columns] f32 or bf16, at most kPanel columns -> out [(depth + 1) / 2, kPanel] pairs;
// what is behind the vector of the last column stays as it was.
void pack_panel(const TensorView& b, std::uint32_t* out);
// The same of the transpose: b [columns, depth].
void pack_panel_transposed(const TensorView& b, std::uint32_t* out);

// c [rows, columns] f32 = alpha * a b + beta * c over `pairs` pairs, b one panel.
void multiply_panel(const PackedRows& a, const std::uint32_t* b, std::int64_t pairs, float alpha,
                    float beta, const TensorView& c);

}  // namespace finescale::cpu
