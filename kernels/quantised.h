// SPDX-License-Identifier: Apache-2.0
// Matrices whose elements are codes of a few bits, and products with them. 64 neighbours of a row
// are a block with one scale, their largest absolute value: element = level of its code * scale
// (QLoRA, Dettmers et al. 2023, section 3).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/device.h"
#include "core/quantised_panel.h"
#include "core/tensor.h"
#include "kernels/gemm.h"

namespace finescale {

// nf4: quantiles of a normal distribution; fp4: sign, two bits of exponent, one of mantissa; int:
// equal steps, as many below zero as above.
enum class QuantFormat : std::uint8_t { kNf4, kFp4, kInt8, kInt4, kInt3, kInt2 };

inline constexpr std::int64_t kQuantBlock = 64;   // elements of a scale
inline constexpr std::int64_t kScaleGroup = 256;  // scales in one byte each that share a factor

[[nodiscard]] int bits_of(QuantFormat format) noexcept;
// Levels by code, in [-1, 1].
[[nodiscard]] std::span<const float> levels_of(QuantFormat format);
// Bytes of the codes of a block.
[[nodiscard]] inline std::int64_t block_bytes(QuantFormat format) noexcept {
  return kQuantBlock / 8 * bits_of(format);
}

// [R, C], as a view; blocks are counted from the first column of the whole matrix, of which this
// may be a part. A row has blocks() of them.
struct QuantisedMatrix {
  QuantFormat format = QuantFormat::kNf4;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t phase = 0;                     // columns of the first block in front of this part
  const std::uint8_t* codes = nullptr;        // [R, blocks, block_bytes]
  const float* scales = nullptr;              // [R, blocks], or null and
  const std::uint8_t* scale_codes = nullptr;  // [R, blocks]: scale = mean + factor (code - 128)
  const float* scale_factors = nullptr;       // by group of 256 blocks of the whole matrix
  float scale_mean = 0;
  std::int64_t first_block = 0;  // of this part, in the whole matrix, row by row
  std::int64_t row_blocks = 0;   // of a row of the whole matrix

  [[nodiscard]] std::int64_t blocks() const noexcept {
    return (phase + cols + kQuantBlock - 1) / kQuantBlock;
  }
  [[nodiscard]] float scale(std::int64_t row, std::int64_t block) const noexcept {
    const std::int64_t at = row * blocks() + block;
    if (scales != nullptr) {
      return scales[at];
    }
    const std::int64_t group = (first_block + row * row_blocks + block) / kScaleGroup;
    return scale_mean + scale_factors[group] * static_cast<float>(scale_codes[at] - 128);
  }
};

// Codes [R, blocks, block_bytes] and scales [R, blocks] of a whole matrix [R, C], f32 or f64, to
// the nearest level; a block of zeros has scale 0. On the host.
struct QuantisedBlocks {
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;
};
[[nodiscard]] QuantisedBlocks quantise(QuantFormat format, const TensorView& matrix);
// Scales in one byte each around their mean, with a factor for each group: double quantisation.
struct QuantisedScales {
  std::vector<std::uint8_t> codes;
  std::vector<float> factors;
  float mean = 0;
};
[[nodiscard]] QuantisedScales quantise_scales(std::span<const float> scales);

// out [rows, columns] = that part of the matrix, f32 or f64 (f64: of the f32 values), on a GPU bf16
// too (of them, rounded).
void dequantise(const Stream& stream, const QuantisedMatrix& matrix, std::int64_t row,
                std::int64_t column, const TensorView& out);

// c [M, N] = a [M, K] op(w) + beta * c, f32 or f64, or as gemm takes them: as gemm with the
// dequantised matrix, of which no more than a panel of kQuantPanel elements (or 64 rows or columns)
// exists at once, on a GPU kGpuQuantPanel, which keeps it busy. No bit depends on threads.
void quantised_gemm(const Stream& stream, Transpose transpose_w, const TensorView& a,
                    const QuantisedMatrix& w, double beta, const TensorView& c);
// y [M, N] = x [M, K] w [N, K]^T: as row_gemm with the dequantised matrix.
void quantised_row_gemm(const Stream& stream, const TensorView& x, const QuantisedMatrix& w,
                        const TensorView& y);

}  // namespace finescale
