// SPDX-License-Identifier: Apache-2.0
// Both operands lie along K, so an element of y is a dot product: one vector of partial sums over
// a pass of K, added up at its end, and the passes' sums in their order. A tile is a few rows of x
// times four rows of W; their number changes how often memory is read and nothing else. Rows of W
// that are stored as bf16 are made f32 as the first tile comes to them, and are f32 to all.
#include "kernels/row_gemm.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/row_gemm.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <hwy/cache_control.h>

#include "core/aligned_buffer.h"
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

// Of K, in a panel's pass: what a tile reads of x and W then fits the nearest cache, so x stays
// there from tile to tile. Whole rows of 1,536 numbers do not, and cost a seventh of the rate.
constexpr std::int64_t kPassBytes = 3072;
constexpr std::int64_t kPassUnit = 16;  // numbers: passes begin on whole vectors

struct RowGemmPass {
  std::int64_t begin, end;  // of K
  [[nodiscard]] bool is_first() const noexcept { return begin == 0; }
  [[nodiscard]] std::int64_t size() const noexcept { return end - begin; }
};

// This thread's, for rows of W as f32; grown and kept.
inline void* kept_rows(std::size_t bytes) {
  thread_local AlignedBuffer room;
  if (room.size_bytes() < bytes) {
    room = AlignedBuffer(bytes);
  }
  return room.data();
}

}  // namespace finescale::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

// Rows of a tile: 24 sums, 4 vectors of W and one of x fill AVX-512's 32 registers; 12 sums, 3 of x
// and one of W fill AVX2's 16.
constexpr int kTileRows = HWY_MAX_BYTES >= 64 ? 6 : 3;

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

// Lines of memory that a tile asks for on its way, one each `every` vectors of K (a power of two):
// in one go they would keep the nearest cache from anything else for the time that memory takes.
struct FetchedLines {
  const char* at = nullptr;
  std::int64_t step_bytes = 0;  // 0: nothing is left to fetch
  std::int64_t every = 2;
};

// Who reads rows of W: the first tile from memory, and asks for those behind them; the same, and
// leaves what it read as f32 for the others; the others from a cache.
enum class Read : std::uint8_t { kMemory, kMemoryAndKeep, kCache };

// The rows of W of one tile.
template <class T, class W>
struct TileWeights {
  const W* rows[kColumns];
  std::int64_t ahead;  // numbers from a row to the next tile's
  T* keep;             // [kColumns, keep_stride], with kMemoryAndKeep
  std::int64_t keep_stride;
};

template <class D>
HWY_INLINE hn::Vec<D> load_weights(D d, const hn::TFromD<D>* from) {
  return hn::LoadU(d, from);
}
// bf16 is the upper half of an f32.
template <class D>
HWY_INLINE hn::Vec<D> load_weights(D d, const std::uint16_t* from) {
  const hn::RebindToUnsigned<D> bits;
  return hn::BitCast(
      d, hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(hn::Rebind<std::uint16_t, D>(), from))));
}
template <class D, class W>
HWY_INLINE hn::Vec<D> load_some_weights(D d, const W* from, std::size_t count) {
  HWY_ALIGN W lanes[HWY_MAX_BYTES / sizeof(W)] = {};
  std::copy(from, from + count, lanes);
  return load_weights(d, lanes);
}

// The vector of K at k of row j.
template <Read kRead, class D, class T, class W>
HWY_INLINE hn::Vec<D> weights_at(D d, const TileWeights<T, W>& w, int j, std::int64_t k) {
  const hn::Vec<D> values = load_weights(d, w.rows[j] + k);
  if constexpr (kRead != Read::kCache) {
    hwy::Prefetch(w.rows[j] + k + w.ahead);
  }
  if constexpr (kRead == Read::kMemoryAndKeep) {
    hn::StoreU(values, d, w.keep + j * w.keep_stride + k);
  }
  return values;
}

// s[i][j] += x[i] w[j] for the vector of K at k, where x points.
template <int kRows, Read kRead, class T, class W, class V>
HWY_INLINE void add_products(const T* x, std::int64_t stride, const TileWeights<T, W>& w,
                             std::int64_t k, V (&s)[kRows][kColumns]) {
  const hn::ScalableTag<T> d;
  if constexpr (HWY_MAX_BYTES < 64) {  // a row of W at a time: all of them would not fit
    V left[kRows];
#pragma GCC unroll 3
    for (int i = 0; i < kRows; ++i) {
      left[i] = hn::LoadU(d, x + i * stride);
    }
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      const V right = weights_at<kRead>(d, w, j, k);
#pragma GCC unroll 3
      for (int i = 0; i < kRows; ++i) {
        s[i][j] = hn::MulAdd(left[i], right, s[i][j]);
      }
    }
    return;
  }
  V right[kColumns];
#pragma GCC unroll 4
  for (int j = 0; j < kColumns; ++j) {
    right[j] = weights_at<kRead>(d, w, j, k);
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i) {
    const V left = hn::LoadU(d, x + i * stride);
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      s[i][j] = hn::MulAdd(left, right[j], s[i][j]);
    }
  }
}

// sums[i][j] = x[i] . w[j], rows `to` apart, for kRows rows of x and four of W. From memory the
// rows of W that come next are fetched meanwhile, since rows are too short for the hardware to see
// them; otherwise `lines` are.
template <int kRows, Read kRead, class T, class W>
HWY_INLINE void tile(const T* x, std::int64_t stride, const TileWeights<T, W>& w,
                     std::int64_t inner, FetchedLines lines, T* sums, std::int64_t to) {
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
  const std::int64_t between = (lines.every - 1) * lanes;  // bits of k where no line is fetched
  std::int64_t k = 0;
  for (; k + lanes <= inner; k += lanes) {
    if constexpr (kRead == Read::kCache) {
      if ((k & between) == 0) {
        __builtin_prefetch(lines.at, 0, 2);
        lines.at += lines.step_bytes;
      }
    }
    add_products<kRows, kRead>(x + k, stride, w, k, s);
  }
  if (k < inner) {
    const auto left_over = static_cast<std::size_t>(inner - k);
    V right[kColumns];
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      right[j] = load_some_weights(d, w.rows[j] + k, left_over);
      if constexpr (kRead == Read::kMemoryAndKeep) {
        hn::StoreU(right[j], d, w.keep + j * w.keep_stride + k);
      }
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
  // `vectors` of K in a tile.
  NextRows(const RowGemmTask& task, const RowGemmBlock& block, std::int64_t tiles,
           std::int64_t vectors) {
    const auto row_bytes = task.w.row_stride * static_cast<std::int64_t>(dtype_size(task.w.dtype));
    at_ = task.w.as<char>() + block.next_begin * row_bytes;
    end_ = task.w.as<char>() + block.next_end * row_bytes;
    const std::int64_t lines = tiles == 0 ? 0 : (end_ - at_) / tiles / kLine + 1;  // of a tile
    while (every_ < kLongest && vectors / (2 * every_) >= lines) {
      every_ *= 2;
    }
    on_the_way_ = std::min(lines, vectors / every_) * kLine;
    at_once_ = lines * kLine - on_the_way_;
  }
  // Of the tile that follows; what it has no time for is fetched here.
  FetchedLines of_tile() {
    if (at_ >= end_) {
      return {at_, 0, every_};
    }
    for (const char* until = std::min(at_ + at_once_, end_); at_ < until; at_ += kLine) {
      __builtin_prefetch(at_, 0, 2);
    }
    const char* const at = at_;
    at_ += on_the_way_;
    return {at, kLine, every_};
  }

 private:
  static constexpr std::int64_t kLine = 64;
  static constexpr std::int64_t kLongest = 16;
  const char* at_;
  const char* end_;
  std::int64_t every_ = 2;
  std::int64_t on_the_way_;  // bytes of a tile
  std::int64_t at_once_;
};

// What the tiles of a pass read of W.
template <class T, class W>
struct PassWeights {
  const W* first;       // of the block's first column
  std::int64_t stride;  // from row to row
  T* keep = nullptr;    // f32 of all the block's rows, with kMemoryAndKeep
  std::int64_t keep_stride = 0;
};

// Rows [m, m + kRows) of the block.
template <int kRows, Read kRead, class T, class W>
void row_of_tiles(const RowGemmTask& task, const RowGemmBlock& block, const RowGemmPass& pass,
                  const PassWeights<T, W>& weights, std::int64_t m, NextRows& next) {
  const std::int64_t stride = weights.stride;
  const auto alpha = static_cast<T>(task.alpha);
  const auto beta = pass.is_first() ? static_cast<T>(task.beta) : T(1);
  const bool is_plain = alpha == T(1) && beta == T(0);
  const T* const x = task.x.as<T>() + m * task.x.row_stride + pass.begin;
  T* const y = task.y.as<T>() + m * task.y.row_stride;
  HWY_ALIGN T sums[kRows * kColumns];
  for (std::int64_t n = block.col_begin; n < block.col_end; n += kColumns) {
    const std::int64_t columns = std::min(kColumns, block.col_end - n);
    const W* const first = weights.first + (n - block.col_begin) * stride;
    const TileWeights<T, W> w = {
        .rows = {first, first + std::min<std::int64_t>(1, columns - 1) * stride,
                 first + std::min<std::int64_t>(2, columns - 1) * stride,
                 first + (columns - 1) * stride},
        .ahead = kColumns * stride,
        .keep = weights.keep + (n - block.col_begin) * weights.keep_stride,
        .keep_stride = weights.keep_stride};
    const bool is_direct = is_plain && columns == kColumns;
    const FetchedLines lines = kRead == Read::kCache ? next.of_tile() : FetchedLines();
    tile<kRows, kRead>(x, task.x.row_stride, w, pass.size(), lines, is_direct ? y + n : sums,
                       is_direct ? task.y.row_stride : kColumns);
    for (int i = 0; i < kRows && !is_direct; ++i) {
      combine(sums + i * kColumns, columns, alpha, beta, y + i * task.y.row_stride + n);
    }
  }
}

template <Read kRead, class T, class W>
void any_row_of_tiles(std::int64_t rows, const RowGemmTask& task, const RowGemmBlock& block,
                      const RowGemmPass& pass, const PassWeights<T, W>& weights, std::int64_t m,
                      NextRows& next) {
  switch (rows) {
    case 1:
      return row_of_tiles<1, kRead>(task, block, pass, weights, m, next);
    case 2:
      return row_of_tiles<2, kRead>(task, block, pass, weights, m, next);
    case 3:
      return row_of_tiles<3, kRead>(task, block, pass, weights, m, next);
    case 4:
      return row_of_tiles<4, kRead>(task, block, pass, weights, m, next);
    case 5:
      return row_of_tiles<5, kRead>(task, block, pass, weights, m, next);
    default:
      return row_of_tiles<6, kRead>(task, block, pass, weights, m, next);
  }
}

// The first of `tiles` rows of tiles, `count` rows of x; returns what the others read.
template <class T, class W>
PassWeights<T, T> first_row_of_tiles(std::int64_t count, std::int64_t tiles,
                                     const RowGemmTask& task, const RowGemmBlock& block,
                                     const RowGemmPass& pass, NextRows& next) {
  PassWeights<T, W> weights = {
      .first = task.w.as<W>() + block.col_begin * task.w.row_stride + pass.begin,
      .stride = task.w.row_stride};
  if constexpr (std::is_same_v<T, W>) {
    any_row_of_tiles<Read::kMemory>(count, task, block, pass, weights, block.row_begin, next);
    return weights;
  } else if (tiles == 1) {
    any_row_of_tiles<Read::kMemory>(count, task, block, pass, weights, block.row_begin, next);
    return {};
  } else {
    // Whole vectors, and rows of the last tile that are there again.
    const std::int64_t rows =
        (block.col_end - block.col_begin + kColumns - 1) / kColumns * kColumns;
    weights.keep_stride = (pass.size() + kPassUnit - 1) / kPassUnit * kPassUnit;
    weights.keep = static_cast<T*>(
        kept_rows(static_cast<std::size_t>(rows * weights.keep_stride) * sizeof(T)));
    any_row_of_tiles<Read::kMemoryAndKeep>(count, task, block, pass, weights, block.row_begin,
                                           next);
    return {.first = weights.keep, .stride = weights.keep_stride};
  }
}

template <class T, class W>
void block_of(const RowGemmTask& task, const RowGemmBlock& block) {
  // Tiles of about the same size: 32 rows are four times five and twice six, not five times six and
  // two, since a low tile takes nearly as long.
  const std::int64_t all = block.row_end - block.row_begin;
  const std::int64_t tiles = (all + kTileRows - 1) / kTileRows;
  const std::int64_t width = (block.col_end - block.col_begin + kColumns - 1) / kColumns;
  const std::int64_t inner = task.x.cols();
  const std::int64_t most = kPassBytes / static_cast<std::int64_t>(sizeof(T));
  const std::int64_t passes = std::max<std::int64_t>(1, (inner + most - 1) / most);
  NextRows next(task, block, (tiles - 1) * width * passes,
                inner / passes / static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>())));
  for (std::int64_t p = 0; p < passes; ++p) {
    const RowGemmPass pass = {
        inner * p / passes / kPassUnit * kPassUnit,
        p + 1 == passes ? inner : inner * (p + 1) / passes / kPassUnit * kPassUnit};
    const PassWeights<T, T> weights =
        first_row_of_tiles<T, W>(all / tiles, tiles, task, block, pass, next);
    for (std::int64_t t = 1; t < tiles; ++t) {
      const std::int64_t begin = all * t / tiles;
      any_row_of_tiles<Read::kCache>(all * (t + 1) / tiles - begin, task, block, pass, weights,
                                     block.row_begin + begin, next);
    }
  }
}

void multiply(const RowGemmTask& task, const RowGemmBlock& block) {
  if (task.y.dtype == DType::kF64) {
    return block_of<double, double>(task, block);
  }
  task.w.dtype == DType::kBf16 ? block_of<float, std::uint16_t>(task, block)
                               : block_of<float, float>(task, block);
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
  FS_CHECK(x.dtype == y.dtype &&
               (w.dtype == y.dtype || (w.dtype == DType::kBf16 && y.dtype == DType::kF32)),
           "row_gemm multiplies by its own type, or by bf16 in f32");
  if (rows == 0 || cols == 0) {
    return;
  }
  const RowGemmTask task{.x = x, .w = w, .y = y, .alpha = alpha, .beta = beta};
  if (rows * cols * inner <= kAlone) {
    HWY_DYNAMIC_DISPATCH(multiply)(task, {0, rows, 0, cols});
    return;
  }
  const std::int64_t threads = num_threads();
  const std::int64_t panels = panels_of(cols, inner, dtype_size(y.dtype), threads);
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
