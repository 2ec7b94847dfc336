// SPDX-License-Identifier: Apache-2.0
// Both operands lie with their rows along K: an element of a narrow row meets a vector of a wide
// one. K is cut into pieces, each with sums of its own that are added up in order: a piece reads
// its rows once, as they lie. Letters: R columns of the narrow operand, W of the wide one, K rows.
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

#include "core/parallel.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/rounded_up.h"

#ifndef FINESCALE_NARROW_GEMM_TASK
#define FINESCALE_NARROW_GEMM_TASK
namespace finescale::cpu {

struct NarrowTask {
  const float* narrow;  // [K, R]
  std::int64_t narrow_stride;
  const float* wide;  // [K, W]
  std::int64_t wide_stride;
  std::int64_t rows, columns, depth;  // R, W, K
  float* sums;                        // [pieces][R][sums_stride]
  std::int64_t pieces, sums_stride;
  float alpha, beta;
  float* c;  // [R, W], or [W, R] when transposed
  std::int64_t c_stride;
  bool is_transposed;
};

// Of K, and of W.
struct NarrowPart {
  std::int64_t piece, depth_begin, depth_end, column_begin, column_end;
};

}  // namespace finescale::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

// Sums of a tile fill the registers beside the operands: rows of three vectors.
constexpr int kMostRows = HWY_MAX_BYTES >= 64 ? 8 : 4;

// `left`: columns that there are from `column` on; whole vectors of them unless kPart.
template <int kRows, int kVectors, bool kPart, class D>
HWY_INLINE void tile(D d, const NarrowTask& task, const NarrowPart& part, std::int64_t row,
                     std::int64_t column) {
  using V = hn::Vec<D>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto left = static_cast<std::size_t>(part.column_end - column);
  const float* a = task.narrow + part.depth_begin * task.narrow_stride + row;
  const float* b = task.wide + part.depth_begin * task.wide_stride + column;
  V s[kRows][kVectors];
  for (auto& sums : s) {
    for (auto& sum : sums) {
      sum = hn::Zero(d);
    }
  }
  for (std::int64_t k = part.depth_begin; k < part.depth_end;
       ++k, a += task.narrow_stride, b += task.wide_stride) {
    V right[kVectors];
#pragma GCC unroll 3
    for (int j = 0; j < kVectors; ++j) {
      right[j] = kPart ? load_some(d, b, left, 0.0F) : hn::LoadU(d, b + j * lanes);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const V element = hn::Set(d, a[i]);
#pragma GCC unroll 3
      for (int j = 0; j < kVectors; ++j) {
        s[i][j] = hn::MulAdd(element, right[j], s[i][j]);
      }
    }
  }
  float* to = task.sums + (part.piece * task.rows + row) * task.sums_stride + column;
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < kVectors; ++j) {
      hn::StoreU(s[i][j], d, to + i * task.sums_stride + j * lanes);
    }
  }
}

template <int kVectors, bool kPart, class D>
void all_rows(D d, const NarrowTask& task, const NarrowPart& part, std::int64_t column) {
  std::int64_t row = 0;
  for (; row + kMostRows <= task.rows; row += kMostRows) {
    tile<kMostRows, kVectors, kPart>(d, task, part, row, column);
  }
  for (; row + 4 <= task.rows; row += 4) {
    tile<4, kVectors, kPart>(d, task, part, row, column);
  }
  for (; row < task.rows; ++row) {
    tile<1, kVectors, kPart>(d, task, part, row, column);
  }
}

void multiply_part(const NarrowTask& task, const NarrowPart& part) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 8> half;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto half_lanes = static_cast<std::int64_t>(hn::Lanes(half));
  std::int64_t column = part.column_begin;
  for (; column + 3 * lanes <= part.column_end; column += 3 * lanes) {
    all_rows<3, false>(d, task, part, column);
  }
  for (; column + lanes <= part.column_end; column += lanes) {
    all_rows<1, false>(d, task, part, column);
  }
  for (; column + half_lanes <= part.column_end; column += half_lanes) {
    all_rows<1, false>(half, task, part, column);
  }
  if (column < part.column_end) {
    all_rows<1, true>(half, task, part, column);
  }
}

// c = alpha (sum over pieces) + beta c for columns [begin, end) of W.
void finish_columns(const NarrowTask& task, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto alpha = hn::Set(d, task.alpha);
  for (std::int64_t row = 0; row < task.rows; ++row) {
    for (std::int64_t column = begin; column < end; column += lanes) {
      const float* from = task.sums + row * task.sums_stride + column;
      auto sum = hn::LoadU(d, from);
      for (std::int64_t piece = 1; piece < task.pieces; ++piece) {
        sum = hn::Add(sum, hn::LoadU(d, from + piece * task.rows * task.sums_stride));
      }
      HWY_ALIGN float values[HWY_MAX_BYTES / sizeof(float)];
      hn::Store(hn::Mul(alpha, sum), d, values);
      const std::int64_t step = task.is_transposed ? task.c_stride : 1;
      float* to = task.c + (task.is_transposed ? column * task.c_stride + row
                                               : row * task.c_stride + column);
      for (std::int64_t i = 0; i < std::min(lanes, end - column); ++i, to += step) {
        *to = values[i] + (task.beta == 0 ? 0 : task.beta * *to);
      }
    }
  }
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(multiply_part);
HWY_EXPORT(finish_columns);

namespace {

constexpr std::int64_t kAlone = std::int64_t{1} << 18;  // multiply-adds: waking a thread costs more
constexpr std::int64_t kPieces = 8;                     // of K, at most: work for so many threads
constexpr std::int64_t kPieceRows = 64;                 // whole times so many rows
constexpr std::int64_t kGroup = 384;  // columns of a part: whole tiles of every instruction set
constexpr std::int64_t kWidest = 16;  // lanes

// op(b) for a b that is transposed: rows along K.
TensorView rows_of(Transpose transpose_b, const TensorView& b) {
  if (transpose_b == Transpose::kNo) {
    return b;
  }
  thread_local std::vector<float> rows;  // grown and kept: no allocation in the steady state
  rows.resize(std::max(rows.size(), static_cast<std::size_t>(b.num_elements())));
  for (std::int64_t k = 0; k < b.cols(); ++k) {
    for (std::int64_t n = 0; n < b.rows(); ++n) {
      rows[static_cast<std::size_t>(k * b.rows() + n)] = b.as<float>()[n * b.row_stride + k];
    }
  }
  return {rows.data(), DType::kF32, Shape{b.cols(), b.rows()}};
}

}  // namespace

void multiply_narrow(Transpose transpose_b, float alpha, const TensorView& a, const TensorView& b,
                     float beta, const TensorView& c) {
  ensure_isa();
  const TensorView right = rows_of(transpose_b, b);
  const bool is_transposed = right.cols() < a.cols();
  const TensorView& narrow = is_transposed ? right : a;
  const TensorView& wide = is_transposed ? a : right;
  NarrowTask task = {.narrow = narrow.as<float>(),
                     .narrow_stride = narrow.row_stride,
                     .wide = wide.as<float>(),
                     .wide_stride = wide.row_stride,
                     .rows = narrow.cols(),
                     .columns = wide.cols(),
                     .depth = a.rows(),
                     .sums = nullptr,
                     .pieces = 1,
                     .sums_stride = rounded_up(wide.cols(), kWidest),
                     .alpha = alpha,
                     .beta = beta,
                     .c = c.as<float>(),
                     .c_stride = c.row_stride,
                     .is_transposed = is_transposed};
  const bool is_small = task.rows * task.columns * task.depth < kAlone;
  const std::int64_t piece_rows =
      is_small ? task.depth : rounded_up((task.depth + kPieces - 1) / kPieces, kPieceRows);
  task.pieces = std::max<std::int64_t>(
      1, (task.depth + piece_rows - 1) / std::max<std::int64_t>(piece_rows, 1));
  thread_local std::vector<float> sums;
  sums.resize(
      std::max(sums.size(), static_cast<std::size_t>(task.pieces * task.rows * task.sums_stride)));
  task.sums = sums.data();
  const std::int64_t group = is_small ? task.columns : kGroup;
  const std::int64_t groups = (task.columns + group - 1) / group;
  // Each thread's pieces are neighbours: rows that it has, more often than not, in its cache.
  parallel_for(task.pieces * groups, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t item = first; item < last; ++item) {
      const std::int64_t piece = item / groups;
      const std::int64_t column = item % groups * group;
      HWY_DYNAMIC_DISPATCH(multiply_part)
      (task, {piece, piece * piece_rows, std::min((piece + 1) * piece_rows, task.depth), column,
              std::min(column + group, task.columns)});
    }
  });
  parallel_for((task.columns + kWidest - 1) / kWidest,
               1 + kAlone / 16 / (task.pieces * task.rows * kWidest),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(finish_columns)
                 (task, begin * kWidest, std::min(end * kWidest, task.columns));
               });
}

}  // namespace finescale::cpu
#endif
