// SPDX-License-Identifier: Apache-2.0
// CUDA twin of kernels/row_gemm.h, enqueued on the stream: all f32 or all f64, or f32 with W in
// bf16, which gives the bits of the f32 matrix of the same values. An element is a chain of
// multiply-adds over each cut of K, and the cuts' sums are added in their order: where cuts lie
// depends on K alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/row_gemm.h"

namespace finescale::cuda {

struct RowGemmCuts {
  std::int64_t size;   // of K
  std::int64_t count;  // at least one
};
// Up to eight, of at least 256: as many blocks as a GPU holds at once for W of 4096 x 4096.
[[nodiscard]] constexpr RowGemmCuts row_gemm_cuts(std::int64_t inner) noexcept {
  constexpr std::int64_t kUnit = 32;  // whole steps of the kernel
  const std::int64_t size =
      std::max<std::int64_t>(256, ((inner + 7) / 8 + kUnit - 1) / kUnit * kUnit);
  return {size, std::max<std::int64_t>(1, (inner + size - 1) / size)};
}

// Elements of scratch that y [M, N] over K needs: the sums of the cuts, [cuts, M, N]; none where a
// block goes through all of them itself, with the same bits.
[[nodiscard]] std::int64_t row_gemm_partials(std::int64_t rows, std::int64_t cols,
                                             std::int64_t inner) noexcept;

// partials: as many elements of y's type, or empty. Rows of x and W are read in packs of 16 bytes
// where all of them begin on 16 bytes and K is whole packs, else element by element, with the same
// bits.
void row_gemm(const Stream& stream, double alpha, const TensorView& x, const TensorView& w,
              double beta, const TensorView& y, const TensorView& partials);

}  // namespace finescale::cuda
