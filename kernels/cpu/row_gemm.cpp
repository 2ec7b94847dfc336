// SPDX-License-Identifier: Apache-2.0
// Both operands lie along K, so an element of y is a dot product: one vector of partial sums over
// K, added up at the end. A tile is a few rows of x times four rows of W; their number changes how
// often memory is read and nothing else.
#include "kernels/row_gemm.h"

#include <algorithm>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/row_gemm.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <hwy/cache_control.h>

#include "core/error.h"
#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/math-inl.h"

#ifndef FINESCALE_ROW_GEMM_TASK
#define FINESCALE_ROW_GEMM_TASK
namespace finescale::cpu {

struct RowGemmTask {
  TensorView x, w, y;
  double alpha = 1;
  double beta = 0;
};
struct RowGemmBlock {  // of y
  std::int64_t row_begin, row_end, col_begin, col_end;
  // Rows of W that this thread is likely to read next, or none: on their way meanwhile.
  std::int64_t next_begin = 0;
  std::int64_t next_end = 0;
};

constexpr std::int64_t kColumns = 4;  // of a tile: rows of W

}  // namespace finescale::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

// Rows of a tile: 24 sums, 4 vectors of W and one of x fill AVX-512's 32 registers; half as many
// registers take 8 sums, which is what hides the latency of two multiply-adds per cycle.
constexpr int kTileRows = HWY_MAX_BYTES >= 64 ? 6 : 2;

// to[i] = sum of the lanes of vector i, for four vectors at once: three shuffles and adds instead
// of a tree for each. The order of additions is part of the result, so every sum goes through here.
template <class D, class V = hn::Vec<D>, class T = hn::TFromD<D>>
HWY_INLINE void sums_of_lanes(D d, const V* v, T* to) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == 4) {
    const hn::Repartition<double, D> pairs;
    const auto ab = hn::Add(hn::InterleaveLower(d, v[0], v[1]), hn::InterleaveUpper(d, v[0], v[1]));
    const auto ce = hn::Add(hn::InterleaveLower(d, v[2], v[3]), hn::InterleaveUpper(d, v[2], v[3]));
    const auto lower = hn::InterleaveLower(pairs, hn::BitCast(pairs, ab), hn::BitCast(pairs, ce));
    const auto upper = hn::InterleaveUpper(pairs, hn::BitCast(pairs, ab), hn::BitCast(pairs, ce));
    const auto blocks = hn::Add(hn::BitCast(d, lower), hn::BitCast(d, upper));
    if constexpr (HWY_MAX_BYTES == 64) {
      const hn::Half<D> h;
      const hn::Half<decltype(h)> q;
      const auto half = hn::Add(hn::LowerHalf(h, blocks), hn::UpperHalf(h, blocks));
      hn::StoreU(hn::Add(hn::LowerHalf(q, half), hn::UpperHalf(q, half)), q, to);
    } else if constexpr (HWY_MAX_BYTES == 32) {
      const hn::Half<D> h;
      hn::StoreU(hn::Add(hn::LowerHalf(h, blocks), hn::UpperHalf(h, blocks)), h, to);
    } else {
      hn::StoreU(blocks, d, to);
    }
    return;
  }
#endif
  for (int i = 0; i < kColumns; ++i) {
    to[i] = hn::GetLane(hn::SumOfLanes(d, v[i]));
  }
}

// sums[i][j] = x[i] . w[j], rows `to` apart, for kRows rows of x and four of W. `ahead` is the
// distance to the rows of W that come next: fetched meanwhile, since rows are too short for the
// hardware to see them.
template <int kRows, bool kFetch, class T>
HWY_INLINE void tile(const T* x, std::int64_t stride, const T* const* w, std::int64_t inner,
                     std::int64_t ahead, T* sums, std::int64_t to) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V s[kRows][kColumns];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      s[i][j] = hn::Zero(d);
    }
  }
  std::int64_t k = 0;
  for (; k + lanes <= inner; k += lanes) {
    V right[kColumns];
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      right[j] = hn::LoadU(d, w[j] + k);
      if constexpr (kFetch) {
        hwy::Prefetch(w[j] + ahead + k);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const V left = hn::LoadU(d, x + i * stride + k);
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) {
        s[i][j] = hn::MulAdd(left, right[j], s[i][j]);
      }
    }
  }
  if (k < inner) {
    const auto left_over = static_cast<std::size_t>(inner - k);
    V right[kColumns];
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      right[j] = load_some(d, w[j] + k, left_over, T(0));
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const V left = load_some(d, x + i * stride + k, left_over, T(0));
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) {
        s[i][j] = hn::MulAdd(left, right[j], s[i][j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    sums_of_lanes(d, s[i], sums + i * to);
  }
}

template <bool kFetch, class T>
void any_tile(int rows, const T* x, std::int64_t stride, const T* const* w, std::int64_t inner,
              std::int64_t ahead, T* sums, std::int64_t to) {
  switch (rows) {
    case 1:
      return tile<1, kFetch>(x, stride, w, inner, ahead, sums, to);
    case 2:
      return tile<2, kFetch>(x, stride, w, inner, ahead, sums, to);
    case 3:
      return tile<3, kFetch>(x, stride, w, inner, ahead, sums, to);
    case 4:
      return tile<4, kFetch>(x, stride, w, inner, ahead, sums, to);
    case 5:
      return tile<5, kFetch>(x, stride, w, inner, ahead, sums, to);
    default:
      return tile<6, kFetch>(x, stride, w, inner, ahead, sums, to);
  }
}

template <class T>
void combine(const T* sums, std::int64_t count, T alpha, T beta, T* to) {
  for (std::int64_t j = 0; j < count; ++j) {
    const T scaled = alpha * sums[j];
    to[j] = beta == T(0) ? scaled : scaled + beta * to[j];
  }
}

// The block's next rows of W, a part with each tile, into the cache behind the nearest.
class NextRows {
 public:
  NextRows(const RowGemmTask& task, const RowGemmBlock& block, std::int64_t tiles) {
    const auto row_bytes = task.w.row_stride * static_cast<std::int64_t>(dtype_size(task.w.dtype));
    at_ = task.w.as<char>() + block.next_begin * row_bytes;
    end_ = task.w.as<char>() + block.next_end * row_bytes;
    part_ = tiles == 0 ? 0 : ((end_ - at_) / tiles / kLine + 1) * kLine;
  }
  void fetch() {
    for (const char* until = at_ + part_; at_ < std::min(until, end_); at_ += kLine) {
      __builtin_prefetch(at_, 0, 2);
    }
  }

 private:
  static constexpr std::int64_t kLine = 64;
  const char* at_;
  const char* end_;
  std::int64_t part_;
};

template <class T>
void block_of(const RowGemmTask& task, const RowGemmBlock& block) {
  const std::int64_t inner = task.x.cols();
  const auto alpha = static_cast<T>(task.alpha);
  const auto beta = static_cast<T>(task.beta);
  const bool is_plain = alpha == T(1) && beta == T(0);
  HWY_ALIGN T sums[6 * kColumns];
  // Tiles of about the same size: 32 rows are four times five and twice six, not five times six and
  // two, since a low tile takes nearly as long.
  const std::int64_t all = block.row_end - block.row_begin;
  const std::int64_t tiles = (all + kTileRows - 1) / kTileRows;
  const std::int64_t width = (block.col_end - block.col_begin + kColumns - 1) / kColumns;
  NextRows next(task, block, (tiles - 1) * width);
  for (std::int64_t t = 0; t < tiles; ++t) {
    const std::int64_t m = block.row_begin + all * t / tiles;
    const auto rows = static_cast<int>(block.row_begin + all * (t + 1) / tiles - m);
    for (std::int64_t n = block.col_begin; n < block.col_end; n += kColumns) {
      const std::int64_t columns = std::min(kColumns, block.col_end - n);
      const T* w[kColumns];
      for (std::int64_t j = 0; j < kColumns; ++j) {
        w[j] = task.w.as<T>() + std::min(n + j, block.col_end - 1) * task.w.row_stride;
      }
      const T* x = task.x.as<T>() + m * task.x.row_stride;
      T* const y = task.y.as<T>() + m * task.y.row_stride + n;
      const bool is_direct = is_plain && columns == kColumns;
      T* const to = is_direct ? y : sums;
      const std::int64_t stride = is_direct ? task.y.row_stride : kColumns;
      const std::int64_t ahead = kColumns * task.w.row_stride;
      // Only the first tile finds W in memory; the others in the cache.
      if (t == 0) {
        any_tile<true>(rows, x, task.x.row_stride, w, inner, ahead, to, stride);
      } else {
        next.fetch();
        any_tile<false>(rows, x, task.x.row_stride, w, inner, ahead, to, stride);
      }
      for (int i = 0; i < rows && !is_direct; ++i) {
        combine(sums + i * kColumns, columns, alpha, beta, y + i * task.y.row_stride);
      }
    }
  }
}

void multiply(const RowGemmTask& task, const RowGemmBlock& block) {
  task.y.dtype == DType::kF64 ? block_of<double>(task, block) : block_of<float>(task, block);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(multiply);

namespace {

constexpr std::int64_t kBlockRows = 96;          // of x: with a panel of W they fit a 1 MiB cache
constexpr std::int64_t kPanelBytes = 128 << 10;  // of W
constexpr std::int64_t kAlone = std::int64_t{1} << 15;  // multiply-adds; waking a thread costs more

// Panels of W: small enough for the cache, several for every thread, and as many for one as for
// another.
std::int64_t panels_of(std::int64_t cols, std::int64_t inner, std::size_t element,
                       std::int64_t threads) {
  const std::int64_t row_bytes =
      std::max<std::int64_t>(1, inner * static_cast<std::int64_t>(element));
  const std::int64_t most = std::max(kColumns, kPanelBytes / row_bytes);  // rows of W
  const std::int64_t least = threads == 1 ? 1 : 4 * threads;
  const std::int64_t panels = std::max((cols + most - 1) / most, least);
  const std::int64_t even = (panels + threads - 1) / threads * threads;
  return std::min(even, (cols + kColumns - 1) / kColumns);
}

}  // namespace

void row_gemm(const Stream& /*stream*/, double alpha, const TensorView& x, const TensorView& w,
              double beta, const TensorView& y) {
  ensure_isa();
  const std::int64_t rows = x.rows();
  const std::int64_t cols = w.rows();
  const std::int64_t inner = x.cols();
  FS_CHECK(w.cols() == inner && y.rows() == rows && y.cols() == cols,
           "row_gemm shapes " + x.shape.text() + " " + w.shape.text() + " " + y.shape.text());
  if (rows == 0 || cols == 0) {
    return;
  }
  const RowGemmTask task{.x = x, .w = w, .y = y, .alpha = alpha, .beta = beta};
  if (rows * cols * inner <= kAlone) {
    HWY_DYNAMIC_DISPATCH(multiply)(task, {0, rows, 0, cols});
    return;
  }
  const std::int64_t threads = num_threads();
  const std::int64_t panels = panels_of(cols, inner, dtype_size(w.dtype), threads);
  const std::int64_t tiles = (cols + kColumns - 1) / kColumns;
  const auto begin_of = [=](std::int64_t panel) {
    return std::min(tiles * panel / panels * kColumns, cols);
  };
  const std::int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  const std::int64_t items = panels * blocks;
  parallel_items(items, [&](std::int64_t item) {
    const std::int64_t row = item % blocks * kBlockRows;
    const std::int64_t panel = item / blocks;
    RowGemmBlock block = {row, std::min(row + kBlockRows, rows), begin_of(panel),
                          begin_of(panel + 1)};
    const std::int64_t next = std::min(item + threads, items - 1) / blocks;
    if (next != panel) {
      block.next_begin = begin_of(next);
      block.next_end = begin_of(next + 1);
    }
    HWY_DYNAMIC_DISPATCH(multiply)(task, block);
  });
}

}  // namespace finescale::cpu
#endif
