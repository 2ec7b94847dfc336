// SPDX-License-Identifier: Apache-2.0
// A tile is a few rows and one or two vectors of C; an element of A meets a vector of B. Rows of B
// are read as they lie when they are whole vectors, else from a copy. Letters: M, N of C, K
// between.
#include "kernels/cpu/narrow_gemm.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/narrow_gemm.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "kernels/cpu/isa.h"
#include "kernels/cpu/math-inl.h"

#ifndef FINESCALE_NARROW_GEMM_TASK
#define FINESCALE_NARROW_GEMM_TASK
namespace finescale::cpu {

struct NarrowTask {
  const float* a;
  std::int64_t row_step, depth_step;  // of op(a), in elements
  const float* b;                     // op(b): rows of N
  std::int64_t b_stride;
  float alpha, beta;
  float* c;
  std::int64_t c_stride;
  std::int64_t rows, columns, depth;
};

}  // namespace finescale::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

// As many sums as the registers hold beside the operands.
constexpr int kSums = HWY_MAX_BYTES >= 64 ? 24 : 12;
constexpr int kMostRows = 12;

// `columns`: of C from this tile's first on; whole vectors of them unless kPart.
template <int kRows, int kVectors, bool kPart, class D>
HWY_INLINE void tile(D d, const NarrowTask& task, std::int64_t row, std::int64_t column) {
  using V = hn::Vec<D>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t row_step = task.row_step;
  const float* a = task.a + row * row_step;
  const float* b = task.b + column;
  V s[kRows][kVectors];
  for (auto& sums : s) {
    for (auto& sum : sums) {
      sum = hn::Zero(d);
    }
  }
  for (std::int64_t k = 0; k < task.depth; ++k, a += task.depth_step, b += task.b_stride) {
    V right[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      right[j] = hn::LoadU(d, b + j * lanes);
    }
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const V left = hn::Set(d, a[i * row_step]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) {
        s[i][j] = hn::MulAdd(left, right[j], s[i][j]);
      }
    }
  }
  const V alpha = hn::Set(d, task.alpha);
  const V beta = hn::Set(d, task.beta);
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      float* c = task.c + (row + i) * task.c_stride + column + j * lanes;
      const auto left = static_cast<std::size_t>(task.columns - column - j * lanes);
      V out = hn::Mul(alpha, s[i][j]);
      if (task.beta != 0) {
        const V old = kPart ? load_some(d, c, left, 0.0F) : hn::LoadU(d, c);
        out = hn::MulAdd(beta, old, out);
      }
      if constexpr (kPart) {
        store_some(d, out, c, left);
      } else {
        hn::StoreU(out, d, c);
      }
    }
  }
}

template <int kVectors, bool kPart, class D>
void columns_of(D d, const NarrowTask& task, std::int64_t column) {
  constexpr int kRows = std::min(kMostRows, kSums / kVectors);
  std::int64_t row = 0;
  for (; row + kRows <= task.rows; row += kRows) {
    tile<kRows, kVectors, kPart>(d, task, row, column);
  }
  for (; row + 4 <= task.rows; row += 4) {
    tile<4, kVectors, kPart>(d, task, row, column);
  }
  for (; row < task.rows; ++row) {
    tile<1, kVectors, kPart>(d, task, row, column);
  }
}

template <class D>
void all_columns(D d, const NarrowTask& task) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t column = 0;
  for (; column + 2 * lanes <= task.columns; column += 2 * lanes) {
    columns_of<2, false>(d, task, column);
  }
  for (; column + lanes <= task.columns; column += lanes) {
    columns_of<1, false>(d, task, column);
  }
  if (column < task.columns) {
    columns_of<1, true>(d, task, column);
  }
}

// Half a vector where that wastes less: rank 8, or three times that.
std::int64_t lanes_for(std::int64_t columns) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  return lanes > 8 && columns % lanes != 0 && columns < 4 * lanes ? 8 : lanes;
}

void multiply(const NarrowTask& task) {
  const hn::ScalableTag<float> d;
  if (lanes_for(task.columns) == static_cast<std::int64_t>(hn::Lanes(d))) {
    all_columns(d, task);
  } else {
    all_columns(hn::CappedTag<float, 8>(), task);
  }
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(multiply);
HWY_EXPORT(lanes_for);

namespace {

// op(b) with rows of whole vectors, zero behind the columns.
void copy_rows(Transpose transpose_b, const TensorView& b, std::int64_t depth, std::int64_t columns,
               std::int64_t stride, float* to) {
  const float* from = b.as<float>();
  const std::int64_t depth_step = transpose_b == Transpose::kNo ? b.row_stride : 1;
  const std::int64_t column_step = transpose_b == Transpose::kNo ? 1 : b.row_stride;
  for (std::int64_t k = 0; k < depth; ++k, to += stride) {
    for (std::int64_t n = 0; n < columns; ++n) {
      to[n] = from[k * depth_step + n * column_step];
    }
    std::fill(to + columns, to + stride, 0.0F);
  }
}

}  // namespace

void multiply_narrow(Transpose transpose_a, Transpose transpose_b, float alpha, const TensorView& a,
                     const TensorView& b, float beta, const TensorView& c) {
  ensure_isa();
  const bool plain = transpose_a == Transpose::kNo;
  NarrowTask task = {.a = a.as<float>(),
                     .row_step = plain ? a.row_stride : 1,
                     .depth_step = plain ? 1 : a.row_stride,
                     .b = b.as<float>(),
                     .b_stride = b.row_stride,
                     .alpha = alpha,
                     .beta = beta,
                     .c = c.as<float>(),
                     .c_stride = c.row_stride,
                     .rows = c.rows(),
                     .columns = c.cols(),
                     .depth = plain ? a.cols() : a.rows()};
  const std::int64_t lanes = HWY_DYNAMIC_DISPATCH(lanes_for)(task.columns);
  if (transpose_b == Transpose::kYes || task.columns % lanes != 0) {
    thread_local std::vector<float> rows;  // grown and kept: no allocation in the steady state
    task.b_stride = (task.columns + lanes - 1) / lanes * lanes;
    rows.resize(std::max(rows.size(), static_cast<std::size_t>(task.b_stride * task.depth)));
    copy_rows(transpose_b, b, task.depth, task.columns, task.b_stride, rows.data());
    task.b = rows.data();
  }
  HWY_DYNAMIC_DISPATCH(multiply)(task);
}

}  // namespace finescale::cpu
#endif
