// SPDX-License-Identifier: Apache-2.0
// The library of vectors has no such instructions in the packaged version, so these are intrinsics.
#include "kernels/cpu/bf16_tile.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>

#include <hwy/base.h>

#include "core/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace finescale::cpu {

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// Its own headers leave lanes undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")

namespace {

constexpr std::int64_t kLanes = 16;

__mmask16 first_lanes(std::int64_t count) {
  return static_cast<__mmask16>((std::uint32_t{1} << std::clamp<std::int64_t>(count, 0, kLanes)) -
                                1);
}

// Elements [0, count) of a row, at most 32, as 16 pairs.
struct PairsOfF32 {
  const float* row;
  [[nodiscard]] __m512i operator()(std::int64_t count) const {
    const __m512 low = _mm512_maskz_loadu_ps(first_lanes(count), row);
    const __m512 high = _mm512_maskz_loadu_ps(first_lanes(count - kLanes), row + kLanes);
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
  }
};
struct PairsOfBf16 {
  const std::uint16_t* row;
  [[nodiscard]] __m512i operator()(std::int64_t count) const {
    const std::uint64_t lanes = count >= 32 ? 0xffffffff : (std::uint64_t{1} << count) - 1;
    return _mm512_maskz_loadu_epi16(static_cast<__mmask32>(lanes), row);
  }
};

// Up to 16 elements of a row as bf16, widened to 32 bits.
__m512i widened(const float* row, __mmask16 lanes) {
  const __m256bh narrow = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, row));
  return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(narrow));
}
__m512i widened(const std::uint16_t* row, __mmask16 lanes) {
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, row));
}

// Pairs of two rows of x, `columns` of them, to out.
template <class T>
void interleave(const T* first, const T* second, std::int64_t columns, std::uint32_t* out) {
  for (std::int64_t j = 0; j < columns; j += kLanes) {
    const __mmask16 lanes = first_lanes(columns - j);
    __m512i pairs = widened(first + j, lanes);
    if (second != nullptr) {
      pairs = _mm512_or_si512(pairs, _mm512_slli_epi32(widened(second + j, lanes), 16));
    }
    _mm512_storeu_si512(out + j, pairs);
  }
}

template <class T>
void interleave_rows(const TensorView& x, std::int64_t out_step, std::uint32_t* out) {
  for (std::int64_t k = 0; k < x.rows(); k += 2) {
    const T* const row = x.as<T>() + k * x.row_stride;
    interleave(row, k + 1 < x.rows() ? row + x.row_stride : nullptr, x.cols(), out);
    out += out_step;
  }
}

// 16 x 16 lanes, in four rounds of exchanges between rows that differ in one bit of their number.
void transpose(__m512i* rows) {
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
#pragma GCC unroll 4
  for (int step = 1; step < kLanes; step *= 2) {
    const __m512i bit = _mm512_set1_epi32(step);
    const __mmask16 odd = _mm512_test_epi32_mask(lane, bit);
    // Lane l of the one: its own where the bit is clear, else lane l - step of the other.
    const __m512i low =
        _mm512_mask_add_epi32(lane, odd, _mm512_sub_epi32(lane, bit), _mm512_set1_epi32(kLanes));
    const __m512i high = _mm512_mask_mov_epi32(_mm512_add_epi32(lane, bit), odd,
                                               _mm512_add_epi32(lane, _mm512_set1_epi32(kLanes)));
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if ((i & step) == 0) {
        const __m512i a = rows[i];
        const __m512i b = rows[i + step];
        rows[i] = _mm512_permutex2var_epi32(a, low, b);
        rows[i + step] = _mm512_permutex2var_epi32(a, high, b);
      }
    }
  }
}

template <class Pairs, class T>
void pack_transposed(const TensorView& b, std::uint32_t* out) {
  const std::int64_t depth = b.cols();
  for (std::int64_t j = 0; j < b.rows(); j += kLanes) {
    for (std::int64_t k = 0; k < depth; k += 2 * kLanes) {
      __m512i rows[kLanes];
      for (std::int64_t i = 0; i < kLanes; ++i) {
        rows[i] = j + i < b.rows() ? Pairs{b.as<T>() + (j + i) * b.row_stride + k}(depth - k)
                                   : _mm512_setzero_si512();
      }
      transpose(rows);
      const std::int64_t pairs = std::min(kLanes, (depth - k + 1) / 2);
      for (std::int64_t p = 0; p < pairs; ++p) {
        _mm512_storeu_si512(out + (k / 2 + p) * kPanel + j, rows[p]);
      }
    }
  }
}

struct Tile {
  const std::uint32_t* a;
  std::int64_t a_step;  // between rows, or between pairs when they lie the other way
  const std::uint32_t* b;
  std::int64_t pairs;
  float* c;
  std::int64_t c_step;
  __mmask16 last;  // columns of the last vector
  float alpha, beta;
};

template <int kRows, int kVectors, bool kTransposed>
void multiply_tile(const Tile& t) {
  __m512 sums[kRows][kVectors];
  for (auto& row : sums) {
    for (__m512& sum : row) {
      sum = _mm512_setzero_ps();
    }
  }
  const std::uint32_t* a = t.a;
  const std::uint32_t* b = t.b;
  const std::int64_t row_step = kTransposed ? 1 : t.a_step;
  for (std::int64_t p = 0; p < t.pairs; ++p) {
    __m512bh right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      right[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + v * kLanes));
    }
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const auto left =
          reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a[r * row_step])));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], right[v], left);
      }
    }
    a += kTransposed ? t.a_step : 1;
    b += kPanel;
  }
  const __m512 alpha = _mm512_set1_ps(t.alpha);
  const __m512 beta = _mm512_set1_ps(t.beta);
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      float* const c = t.c + r * t.c_step + v * kLanes;
      const auto lanes = v + 1 < kVectors ? static_cast<__mmask16>(0xffff) : t.last;
      const __m512 product = _mm512_mul_ps(alpha, sums[r][v]);
      const __m512 before = t.beta == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lanes, c);
      _mm512_mask_storeu_ps(c, lanes,
                            t.beta == 0 ? product : _mm512_fmadd_ps(beta, before, product));
    }
  }
}

using TileFunction = void (*)(const Tile&);

template <int kVectors, bool kTransposed>
TileFunction tile_of_rows(std::int64_t rows) {
  static constexpr std::array<TileFunction, kTileRows> kFunctions = {
      multiply_tile<1, kVectors, kTransposed>, multiply_tile<2, kVectors, kTransposed>,
      multiply_tile<3, kVectors, kTransposed>, multiply_tile<4, kVectors, kTransposed>,
      multiply_tile<5, kVectors, kTransposed>, multiply_tile<6, kVectors, kTransposed>};
  return kFunctions[static_cast<std::size_t>(rows - 1)];
}

template <bool kTransposed>
TileFunction tile_of(std::int64_t rows, std::int64_t vectors) {
  switch (vectors) {
    case 1:
      return tile_of_rows<1, kTransposed>(rows);
    case 2:
      return tile_of_rows<2, kTransposed>(rows);
    case 3:
      return tile_of_rows<3, kTransposed>(rows);
    default:
      return tile_of_rows<4, kTransposed>(rows);
  }
}

}  // namespace

PackedRows pack_rows(const TensorView& x, std::uint32_t* out) {
  // Whole lines, and an odd number of them: rows of a tile do not meet in the same set of the
  // cache.
  const std::int64_t lines = (x.cols() + 2 * kLanes - 1) / (2 * kLanes);
  const std::int64_t step = (lines % 2 == 0 ? lines + 1 : lines) * kLanes;
  for (std::int64_t i = 0; i < x.rows(); ++i) {
    const float* const row = x.as<float>() + i * x.row_stride;
    for (std::int64_t k = 0; k < x.cols(); k += 2 * kLanes) {
      _mm512_storeu_si512(out + i * step + k / 2, PairsOfF32{row + k}(x.cols() - k));
    }
  }
  return {out, step, 1};
}

PackedRows pack_rows_transposed(const TensorView& x, std::uint32_t* out) {
  const std::int64_t step = (x.cols() + kLanes - 1) / kLanes * kLanes;
  interleave_rows<float>(x, step, out);
  return {out, 1, step};
}

void pack_panel(const TensorView& b, std::uint32_t* out) {
  if (b.dtype == DType::kBf16) {
    interleave_rows<std::uint16_t>(b, kPanel, out);
  } else {
    interleave_rows<float>(b, kPanel, out);
  }
}

void pack_panel_transposed(const TensorView& b, std::uint32_t* out) {
  if (b.dtype == DType::kBf16) {
    pack_transposed<PairsOfBf16, std::uint16_t>(b, out);
  } else {
    pack_transposed<PairsOfF32, float>(b, out);
  }
}

void multiply_panel(const PackedRows& a, const std::uint32_t* b, std::int64_t pairs, float alpha,
                    float beta, const TensorView& c) {
  const bool transposed = a.row_step == 1;
  const std::int64_t vectors = (c.cols() + kLanes - 1) / kLanes;
  Tile tile{.a = a.data,
            .a_step = transposed ? a.pair_step : a.row_step,
            .b = b,
            .pairs = pairs,
            .c = c.as<float>(),
            .c_step = c.row_stride,
            .last = first_lanes(c.cols() - (vectors - 1) * kLanes),
            .alpha = alpha,
            .beta = beta};
  for (std::int64_t row = 0; row < c.rows(); row += kTileRows) {
    const std::int64_t rows = std::min(kTileRows, c.rows() - row);
    (transposed ? tile_of<true>(rows, vectors) : tile_of<false>(rows, vectors))(tile);
    tile.a += kTileRows * a.row_step;
    tile.c += kTileRows * c.row_stride;
  }
}

HWY_POP_ATTRIBUTES
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#else

namespace {
[[noreturn]] void unreachable() {
  FS_CHECK(false, "this processor has no AVX512-BF16");
  std::abort();
}
}  // namespace

PackedRows pack_rows(const TensorView& /*x*/, std::uint32_t* /*out*/) {
  unreachable();
}
PackedRows pack_rows_transposed(const TensorView& /*x*/, std::uint32_t* /*out*/) {
  unreachable();
}
void pack_panel(const TensorView& /*b*/, std::uint32_t* /*out*/) {
  unreachable();
}
void pack_panel_transposed(const TensorView& /*b*/, std::uint32_t* /*out*/) {
  unreachable();
}
void multiply_panel(const PackedRows& /*a*/, const std::uint32_t* /*b*/, std::int64_t /*pairs*/,
                    float /*alpha*/, float /*beta*/, const TensorView& /*c*/) {
  unreachable();
}

#endif

}  // namespace finescale::cpu
