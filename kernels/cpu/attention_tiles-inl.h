// SPDX-License-Identifier: Apache-2.0
// Parts of attention on a tile of queries. A tile has as many queries as two vectors have lanes and
// lies transposed, a lane per query: no sum over lanes, and an element of a key or value serves all
// queries. A tile with few queries uses one vector of the two. Keys and values of a task are
// packed, with zeros behind them, so that no loop here has a rest. Included once per Highway
// target. Letters: L lanes, N keys, D head width, both rounded up as packed.
#if defined(FINESCALE_KERNELS_CPU_ATTENTION_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FINESCALE_KERNELS_CPU_ATTENTION_TILES_INL_H_
#undef FINESCALE_KERNELS_CPU_ATTENTION_TILES_INL_H_
#else
#define FINESCALE_KERNELS_CPU_ATTENTION_TILES_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/rounded_up.h"

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {

// Keys or columns at once, times two vectors: the sums of an inner loop, which fill the registers.
constexpr std::int64_t kAtOnce = HWY_MAX_BYTES >= 64 ? 8 : 4;

template <class T>
std::int64_t lanes_of() {
  return static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
}

// A row of a tile.
template <class T>
std::int64_t tile_queries() {
  return 2 * lanes_of<T>();
}

// Squares that are transposed in 128-bit vectors: 4 x 4 of f32, 2 x 2 of f64, single elements where
// there are no vectors.
template <class T>
constexpr std::int64_t kSquare = HWY_TARGET == HWY_SCALAR ? 1 : 16 / sizeof(T);

template <class T>
using Square =
    std::array<T, static_cast<std::size_t>(kSquare<std::remove_const_t<std::remove_pointer_t<T>>>)>;

HWY_INLINE void transpose_square(const Square<const double*>& from, const Square<double*>& to) {
#if HWY_TARGET == HWY_SCALAR
  *to[0] = *from[0];
#else
  const hn::CappedTag<double, 2> d;
  const auto a = hn::LoadU(d, from[0]), b = hn::LoadU(d, from[1]);
  hn::StoreU(hn::InterleaveLower(d, a, b), d, to[0]);
  hn::StoreU(hn::InterleaveUpper(d, a, b), d, to[1]);
#endif
}

HWY_INLINE void transpose_square(const Square<const float*>& from, const Square<float*>& to) {
#if HWY_TARGET == HWY_SCALAR
  *to[0] = *from[0];
#else
  const hn::CappedTag<float, 4> d;
  const hn::Repartition<double, decltype(d)> pairs;
  const auto a = hn::LoadU(d, from[0]), b = hn::LoadU(d, from[1]), c = hn::LoadU(d, from[2]),
             e = hn::LoadU(d, from[3]);
  const auto low_ab = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
  const auto low_ce = hn::BitCast(pairs, hn::InterleaveLower(d, c, e));
  const auto high_ab = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
  const auto high_ce = hn::BitCast(pairs, hn::InterleaveUpper(d, c, e));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low_ab, low_ce)), d, to[0]);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low_ab, low_ce)), d, to[1]);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high_ab, high_ce)), d, to[2]);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high_ab, high_ce)), d, to[3]);
#endif
}

// to[c][r] = from[r][c]; rows and cols are whole squares, to_stride apart in `to`.
template <class T>
void transpose(const T* from, std::int64_t rows, std::int64_t cols, std::int64_t from_stride, T* to,
               std::int64_t to_stride) {
  constexpr std::int64_t kSide = kSquare<T>;
  for (std::int64_t r = 0; r < rows; r += kSide) {
    for (std::int64_t c = 0; c < cols; c += kSide) {
      Square<const T*> here;
      Square<T*> there;
      for (std::int64_t i = 0; i < kSide; ++i) {
        here[static_cast<std::size_t>(i)] = from + (r + i) * from_stride + c;
        there[static_cast<std::size_t>(i)] = to + (c + i) * to_stride + r;
      }
      transpose_square(here, there);
    }
  }
}

// to [padded_rows][padded_width] = factor from [rows][width], zero behind. The padded width is
// whole vectors.
template <class T>
void pack_rows(const T* from, std::int64_t stride, std::int64_t rows, std::int64_t width,
               std::int64_t padded_rows, std::int64_t padded_width, T factor, T* to) {
  const hn::ScalableTag<T> d;
  const auto scale = hn::Set(d, factor);
  for (std::int64_t r = 0; r < rows; ++r, from += stride, to += padded_width) {
    for (std::int64_t c = 0; c < padded_width; c += lanes_of<T>()) {
      const auto left = static_cast<std::size_t>(std::max<std::int64_t>(0, width - c));
      hn::StoreU(hn::Mul(scale, load_some(d, from + c, left, T(0))), d, to + c);
    }
  }
  std::fill_n(to, (padded_rows - rows) * padded_width, T(0));
}

// to [rows][width] = factor from [rows][padded_width].
template <class T>
void unpack_rows(const T* from, std::int64_t padded_width, std::int64_t rows, std::int64_t width,
                 T factor, T* to, std::int64_t stride) {
  const hn::ScalableTag<T> d;
  const auto scale = hn::Set(d, factor);
  for (std::int64_t r = 0; r < rows; ++r, from += padded_width, to += stride) {
    for (std::int64_t c = 0; c < width; c += lanes_of<T>()) {
      store_some(d, hn::Mul(scale, hn::LoadU(d, from + c)), to + c,
                 static_cast<std::size_t>(width - c));
    }
  }
}

// s[i][j] += x[i step] v[j].
template <int kVectors, class D, class T, class V>
HWY_INLINE void add_outer(D d, const T* x, std::int64_t step, const V (&v)[kVectors],
                          V (&s)[kAtOnce][kVectors]) {
#pragma GCC unroll 8
  for (std::int64_t i = 0; i < kAtOnce; ++i) {
    const V element = hn::Set(d, x[i * step]);
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      s[i][j] = hn::MulAdd(element, v[j], s[i][j]);
    }
  }
}

// scores[n][query] = sum_c tile[c][query] x[n][c] for kVectors vectors of queries and n in
// [0, count), whole kAtOnce. x has rows of `width`.
template <int kVectors, class T>
void tile_scores(const T* tile, const T* x, std::int64_t width, std::int64_t count, T* scores) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const std::int64_t lanes = lanes_of<T>();
  const std::int64_t step = tile_queries<T>();
  for (std::int64_t n = 0; n < count; n += kAtOnce, x += kAtOnce * width) {
    V s[kAtOnce][kVectors];
    for (auto& sums : s) {
      for (auto& sum : sums) {
        sum = hn::Zero(d);
      }
    }
    const T* queries = tile;
    for (std::int64_t c = 0; c < width; ++c, queries += step) {
      V q[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        q[v] = hn::LoadU(d, queries + v * lanes);
      }
      add_outer(d, x + c, width, q, s);
    }
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kAtOnce; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(s[i][v], d, scores + (n + i) * step + v * lanes);
      }
    }
  }
}

// s[i][v] += p[n][query] x[n][i] for n in [0, count) and vectors of queries from kFirst on.
template <int kFirst, int kVectors, class T, class V>
HWY_INLINE void add_values(const T* p, const T* x, std::int64_t width, std::int64_t count,
                           V (&s)[kAtOnce][kVectors]) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = lanes_of<T>();
  for (std::int64_t n = 0; n < count; ++n, p += tile_queries<T>(), x += width) {
    V weight[kVectors];
#pragma GCC unroll 2
    for (int v = kFirst; v < kVectors; ++v) {
      weight[v] = hn::LoadU(d, p + v * lanes);
    }
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kAtOnce; ++i) {
      const V value = hn::Set(d, x[i]);
#pragma GCC unroll 2
      for (int v = kFirst; v < kVectors; ++v) {
        s[i][v] = hn::MulAdd(value, weight[v], s[i][v]);
      }
    }
  }
}

// out[c][query] = factor[query] sum_n p[n][query] x[n][c]; n in [0, all) for the first vector of
// queries, [0, count) for the last.
template <int kVectors, class T>
void tile_values(const T* p, const T* x, std::int64_t width, std::int64_t all, std::int64_t count,
                 const hn::Vec<hn::ScalableTag<T>>* factor, T* out) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const std::int64_t lanes = lanes_of<T>();
  const std::int64_t step = tile_queries<T>();
  for (std::int64_t c = 0; c < width; c += kAtOnce) {
    V s[kAtOnce][kVectors];
    for (auto& sums : s) {
      for (auto& sum : sums) {
        sum = hn::Zero(d);
      }
    }
    add_values<0>(p, x + c, width, all, s);
    if constexpr (kVectors == 2) {
      add_values<1>(p + all * step, x + all * width + c, width, count - all, s);
    }
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kAtOnce; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(hn::Mul(s[i][v], factor[v]), d, out + (c + i) * step + v * lanes);
      }
    }
  }
}

// sums[n][c] += sum of p[n][i] rows[i][c] over queries i in [first, last), for kColumns vectors of
// columns from c on and n in [0, count), whole kAtOnce.
template <int kColumns, class T>
void scatter_columns(const T* p, std::int64_t count, const T* rows, std::int64_t first,
                     std::int64_t last, std::int64_t width, T* sums) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const std::int64_t lanes = lanes_of<T>();
  const std::int64_t step = tile_queries<T>();
  for (std::int64_t n = 0; n < count; n += kAtOnce, p += kAtOnce * step, sums += kAtOnce * width) {
    V s[kAtOnce][kColumns];
#pragma GCC unroll 8
    for (std::int64_t m = 0; m < kAtOnce; ++m) {
#pragma GCC unroll 2
      for (int j = 0; j < kColumns; ++j) {
        s[m][j] = hn::LoadU(d, sums + m * width + j * lanes);
      }
    }
    for (std::int64_t i = first; i < last; ++i) {
      V row[kColumns];
#pragma GCC unroll 2
      for (int j = 0; j < kColumns; ++j) {
        row[j] = hn::LoadU(d, rows + i * width + j * lanes);
      }
      add_outer(d, p + i, step, row, s);
    }
#pragma GCC unroll 8
    for (std::int64_t m = 0; m < kAtOnce; ++m) {
#pragma GCC unroll 2
      for (int j = 0; j < kColumns; ++j) {
        hn::StoreU(s[m][j], d, sums + m * width + j * lanes);
      }
    }
  }
}

// The same for all columns.
template <class T>
void tile_scatter(const T* p, std::int64_t count, const T* rows, std::int64_t first,
                  std::int64_t last, std::int64_t width, T* sums) {
  const std::int64_t lanes = lanes_of<T>();
  std::int64_t c = 0;
  for (; c + 2 * lanes <= width; c += 2 * lanes) {
    scatter_columns<2>(p, count, rows + c, first, last, width, sums + c);
  }
  for (; c < width; c += lanes) {
    scatter_columns<1>(p, count, rows + c, first, last, width, sums + c);
  }
}

}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
