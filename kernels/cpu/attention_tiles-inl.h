// SPDX-License-Identifier: Apache-2.0
// Parts of attention on a tile of queries. A tile has as many queries as a vector has lanes and
// lies transposed, a lane per query: no sum over lanes, and keys and values are read where they
// are, one element for all queries. Included once per Highway target. Letters: L lanes (queries of
// a tile), N keys, D head width.
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

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {

// Accumulators of an inner loop: keys or columns at once.
constexpr std::int64_t kAtOnce = 8;

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

// out [D][L] = rows [L][D]; every row is readable.
template <class T>
void tile_in(const T* const* rows, std::int64_t lanes, std::int64_t width, T* out) {
  constexpr std::int64_t kSide = kSquare<T>;
  const std::int64_t squares = width / kSide * kSide;
  for (std::int64_t r = 0; r < lanes; r += kSide) {
    for (std::int64_t c = 0; c < squares; c += kSide) {
      Square<const T*> from;
      Square<T*> to;
      for (std::int64_t i = 0; i < kSide; ++i) {
        from[static_cast<std::size_t>(i)] = rows[r + i] + c;
        to[static_cast<std::size_t>(i)] = out + (c + i) * lanes + r;
      }
      transpose_square(from, to);
    }
    for (std::int64_t i = r; i < r + kSide; ++i) {
      for (std::int64_t c = squares; c < width; ++c) {
        out[c * lanes + i] = rows[i][c];
      }
    }
  }
}

// rows [count][D] = tile [D][L]; spare takes what the lanes behind count hold, D elements.
template <class T>
void tile_out(const T* tile, std::int64_t lanes, std::int64_t width, T* const* rows, T* spare) {
  constexpr std::int64_t kSide = kSquare<T>;
  const std::int64_t squares = width / kSide * kSide;
  for (std::int64_t r = 0; r < lanes && rows[r] != nullptr; r += kSide) {
    const auto row = [&](std::int64_t i) { return rows[r + i] == nullptr ? spare : rows[r + i]; };
    for (std::int64_t c = 0; c < squares; c += kSide) {
      Square<const T*> from;
      Square<T*> to;
      for (std::int64_t i = 0; i < kSide; ++i) {
        from[static_cast<std::size_t>(i)] = tile + (c + i) * lanes + r;
        to[static_cast<std::size_t>(i)] = row(i) + c;
      }
      transpose_square(from, to);
    }
    for (std::int64_t i = 0; i < kSide; ++i) {
      for (std::int64_t c = squares; c < width; ++c) {
        row(i)[c] = tile[c * lanes + r + i];
      }
    }
  }
}

// A matrix whose rows are read one element at a time: keys or values of a segment.
template <class T>
struct Rows {
  const T* data;
  std::int64_t stride;
};

// take(n, s) for n in [begin, end), s[lane] = sum_d tile[d][lane] x[n][d].
template <class T, class Take>
HWY_INLINE void tile_scores(const T* tile, std::int64_t width, const Rows<T>& x, std::int64_t begin,
                            std::int64_t end, Take&& take) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t n = begin; n < end; n += kAtOnce) {
    // Behind the end the last row again: computed and not taken.
    const auto row = [&](std::int64_t i) { return x.data + std::min(n + i, end - 1) * x.stride; };
    const T *x0 = row(0), *x1 = row(1), *x2 = row(2), *x3 = row(3), *x4 = row(4), *x5 = row(5),
            *x6 = row(6), *x7 = row(7);
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (std::int64_t c = 0; c < width; ++c) {
      const auto q = hn::LoadU(d, tile + c * lanes);
      s0 = hn::MulAdd(hn::Set(d, x0[c]), q, s0);
      s1 = hn::MulAdd(hn::Set(d, x1[c]), q, s1);
      s2 = hn::MulAdd(hn::Set(d, x2[c]), q, s2);
      s3 = hn::MulAdd(hn::Set(d, x3[c]), q, s3);
      s4 = hn::MulAdd(hn::Set(d, x4[c]), q, s4);
      s5 = hn::MulAdd(hn::Set(d, x5[c]), q, s5);
      s6 = hn::MulAdd(hn::Set(d, x6[c]), q, s6);
      s7 = hn::MulAdd(hn::Set(d, x7[c]), q, s7);
    }
    const std::int64_t count = std::min(kAtOnce, end - n);
    take(n, s0);
    if (count > 1) {
      take(n + 1, s1);
    }
    if (count > 2) {
      take(n + 2, s2);
    }
    if (count > 3) {
      take(n + 3, s3);
    }
    if (count > 4) {
      take(n + 4, s4);
    }
    if (count > 5) {
      take(n + 5, s5);
    }
    if (count > 6) {
      take(n + 6, s6);
    }
    if (count > 7) {
      take(n + 7, s7);
    }
  }
}

// out[c][lane] = factor[lane] sum_n p[n][lane] x[n][c] for n in [begin, end); p begins at `begin`.
// out has room for width rounded up to kAtOnce.
template <class T>
HWY_INLINE void tile_values(const T* p, const Rows<T>& x, std::int64_t begin, std::int64_t end,
                            std::int64_t width, hn::Vec<hn::ScalableTag<T>> factor, T* out) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t c = 0; c < width; c += kAtOnce) {
    const auto column = [&](std::int64_t i) { return std::min(c + i, width - 1); };
    const std::int64_t c1 = column(1), c2 = column(2), c3 = column(3), c4 = column(4),
                       c5 = column(5), c6 = column(6), c7 = column(7);
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (std::int64_t n = begin; n < end; ++n) {
      const auto weight = hn::LoadU(d, p + (n - begin) * lanes);
      const T* row = x.data + n * x.stride;
      s0 = hn::MulAdd(hn::Set(d, row[c]), weight, s0);
      s1 = hn::MulAdd(hn::Set(d, row[c1]), weight, s1);
      s2 = hn::MulAdd(hn::Set(d, row[c2]), weight, s2);
      s3 = hn::MulAdd(hn::Set(d, row[c3]), weight, s3);
      s4 = hn::MulAdd(hn::Set(d, row[c4]), weight, s4);
      s5 = hn::MulAdd(hn::Set(d, row[c5]), weight, s5);
      s6 = hn::MulAdd(hn::Set(d, row[c6]), weight, s6);
      s7 = hn::MulAdd(hn::Set(d, row[c7]), weight, s7);
    }
    T* to = out + c * lanes;
    hn::StoreU(hn::Mul(s0, factor), d, to);
    hn::StoreU(hn::Mul(s1, factor), d, to + lanes);
    hn::StoreU(hn::Mul(s2, factor), d, to + 2 * lanes);
    hn::StoreU(hn::Mul(s3, factor), d, to + 3 * lanes);
    hn::StoreU(hn::Mul(s4, factor), d, to + 4 * lanes);
    hn::StoreU(hn::Mul(s5, factor), d, to + 5 * lanes);
    hn::StoreU(hn::Mul(s6, factor), d, to + 6 * lanes);
    hn::StoreU(hn::Mul(s7, factor), d, to + 7 * lanes);
  }
}

// sums[n][c] += sum over eight queries of p[n][i] rows[i][c], n in [begin, end); p begins at
// `begin` and has `lanes` columns; sums is dense [N, D].
template <class T>
void scatter_eight(const T* p, std::int64_t lanes, std::int64_t begin, std::int64_t end,
                   const T* const* rows, std::int64_t width, T* sums) {
  const hn::ScalableTag<T> d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t c = 0; c < width; c += step) {
    const auto left = static_cast<std::size_t>(width - c);
    const auto r0 = load_some(d, rows[0] + c, left, T(0));
    const auto r1 = load_some(d, rows[1] + c, left, T(0));
    const auto r2 = load_some(d, rows[2] + c, left, T(0));
    const auto r3 = load_some(d, rows[3] + c, left, T(0));
    const auto r4 = load_some(d, rows[4] + c, left, T(0));
    const auto r5 = load_some(d, rows[5] + c, left, T(0));
    const auto r6 = load_some(d, rows[6] + c, left, T(0));
    const auto r7 = load_some(d, rows[7] + c, left, T(0));
    for (std::int64_t n = begin; n < end; ++n) {
      const T* weight = p + (n - begin) * lanes;
      T* to = sums + n * width + c;
      auto a = load_some(d, to, left, T(0));
      auto b = hn::Mul(hn::Set(d, weight[4]), r4);
      a = hn::MulAdd(hn::Set(d, weight[0]), r0, a);
      b = hn::MulAdd(hn::Set(d, weight[5]), r5, b);
      a = hn::MulAdd(hn::Set(d, weight[1]), r1, a);
      b = hn::MulAdd(hn::Set(d, weight[6]), r6, b);
      a = hn::MulAdd(hn::Set(d, weight[2]), r2, a);
      b = hn::MulAdd(hn::Set(d, weight[7]), r7, b);
      a = hn::MulAdd(hn::Set(d, weight[3]), r3, a);
      store_some(d, hn::Add(a, b), to, left);
    }
  }
}

// The same over all queries of a tile.
template <class T>
void tile_scatter(const T* p, std::int64_t lanes, std::int64_t begin, std::int64_t end,
                  const T* const* rows, std::int64_t width, T* sums) {
  std::int64_t first = 0;
  for (; first + kAtOnce <= lanes; first += kAtOnce) {
    scatter_eight(p + first, lanes, begin, end, rows + first, width, sums);
  }
  for (; first < lanes; ++first) {  // narrow vectors: the portable target, f64
    for (std::int64_t n = begin; n < end; ++n) {
      const T weight = p[(n - begin) * lanes + first];
      for (std::int64_t c = 0; c < width; ++c) {
        sums[n * width + c] += weight * rows[first][c];
      }
    }
  }
}

}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
