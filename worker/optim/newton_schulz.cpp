// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/newton_schulz.h"

#include <algorithm>
#include <cmath>

#include "core/exact_sum.h"
#include "kernels/bias.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"

namespace finescale {

namespace {

constexpr int kSteps = 5;
// Slope at zero as steep as the bounds on S' allow: the author's numbers.
constexpr double kA = 3.4445;
constexpr double kB = -4.7750;
constexpr double kC = 2.0315;

}  // namespace

std::int64_t newton_schulz_elements(std::int64_t rows, std::int64_t cols) {
  const std::int64_t side = std::min(rows, cols);
  return rows * cols + 2 * side * side;
}

// With X flat (R <= C) X <- a X + (b G + c G^2) X, G = X X^T; else the same from the right.
void newton_schulz(const Stream& stream, const TensorView& x, AlignedBuffer& scratch) {
  const std::int64_t side = std::min(x.rows(), x.cols());
  const bool flat = x.rows() <= x.cols();
  const std::size_t element = dtype_size(x.dtype);
  const std::size_t bytes =
      static_cast<std::size_t>(newton_schulz_elements(x.rows(), x.cols())) * element;
  if (scratch.size_bytes() < bytes) {
    scratch = AlignedBuffer(bytes);
  }
  auto* const memory = static_cast<std::byte*>(scratch.data());
  const TensorView next(memory, x.dtype, x.shape);
  const TensorView gram(memory + x.size_bytes(), x.dtype, Shape{side, side});
  const TensorView square(memory + x.size_bytes() + gram.size_bytes(), x.dtype, gram.shape);
  const TensorView all(x.data, x.dtype, Shape{x.num_elements()});
  ExactSum total;
  squared_norm_blocks(stream, all, total);
  const double norm = std::sqrt(total.value());
  if (norm == 0) {
    return;
  }
  affine_in_place(stream, 1 / norm, 0, all);
  for (int step = 0; step < kSteps; ++step) {
    gemm(stream, flat ? Transpose::kNo : Transpose::kYes, flat ? Transpose::kYes : Transpose::kNo,
         1, x, x, 0, gram);
    copy(stream, gram, square);
    gemm(stream, Transpose::kNo, Transpose::kNo, kC, gram, gram, kB, square);
    copy(stream, x, next);
    gemm(stream, Transpose::kNo, Transpose::kNo, 1, flat ? square : x, flat ? x : square, kA, next);
    copy(stream, next, x);
  }
}

}  // namespace finescale
