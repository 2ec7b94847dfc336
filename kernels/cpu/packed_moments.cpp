// SPDX-License-Identifier: Apache-2.0
// A block of both moments is expanded into the first-level cache, updated and packed again. Packing
// is integers, divisions and roots, all exact or correctly rounded: the same codes on every
// instruction set. The compiler makes vectors of its loops of fixed length.
#include "kernels/packed_moments.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/packed_moments.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "core/parallel.h"
#include "kernels/cpu/adamw-inl.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kSize = kMomentBlock;

// Part of a block, from the first element of the range that lies in it.
struct Piece {
  std::int64_t block;  // of the range
  std::int64_t begin;  // element of the range
  std::int64_t size;
};

Piece piece_of(const PackedMoments& moments, std::int64_t count, std::int64_t block) {
  const std::int64_t begin = std::max<std::int64_t>(0, block * kSize - moments.phase);
  return {block, begin, std::min(count, (block + 1) * kSize - moments.phase) - begin};
}

std::size_t size_of(const Piece& piece) {  // in bytes of one each
  return static_cast<std::size_t>(piece.size);
}

// Both moments of a piece; behind `size` zeros. int8: v is the root.
struct Expanded {
  alignas(64) float m[kSize];
  alignas(64) float v[kSize];
};

// 32-bit finaliser of MurmurHash3: every bit of the result depends on every bit of x.
HWY_INLINE std::uint32_t mixed(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85EBCA6BU;
  x = (x ^ (x >> 13)) * 0xC2B2AE35U;
  return x ^ (x >> 16);
}

HWY_INLINE void expand_bf16(const void* codes, const Piece& piece, float* to) {
  const std::uint16_t* from = static_cast<const std::uint16_t*>(codes) + piece.begin;
  for (std::int64_t i = 0; i < piece.size; ++i) {
    to[i] = std::bit_cast<float>(std::uint32_t{from[i]} << 16);
  }
}

HWY_INLINE void pack_bf16_nearest(const float* from, const Piece& piece, void* codes) {
  std::uint16_t* to = static_cast<std::uint16_t*>(codes) + piece.begin;
  for (std::int64_t i = 0; i < piece.size; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(from[i]);
    to[i] = static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
  }
}

// What is cut off is the probability of the next larger value.
HWY_INLINE void pack_bf16_random(const PackedMoments& moments, std::uint32_t key, const float* from,
                                 const Piece& piece) {
  std::uint16_t* to = static_cast<std::uint16_t*>(moments.v) + piece.begin;
  const auto first = static_cast<std::uint32_t>(moments.first_element + piece.begin);
  for (std::int64_t i = 0; i < piece.size; ++i) {
    const std::uint32_t random = mixed((first + static_cast<std::uint32_t>(i)) * 0x9E3779B9U ^ key);
    to[i] =
        static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(from[i]) + (random >> 16)) >> 16);
  }
}

// One byte: the upper bits of an f32 in [0, 1], counted down from 1, which is the largest code.
template <int kFractionBits, int kLargest>
struct ByteCode {
  static constexpr int kCut = 23 - kFractionBits;
  static constexpr std::uint32_t kBelow =
      (std::bit_cast<std::uint32_t>(1.0F) >> kCut) - kLargest;  // of code 0
  static constexpr float kLeast = std::bit_cast<float>((kBelow + 1) << kCut);

  // Comparisons are of integers, which order magnitudes as well.
  template <bool kKeepsSmall>
  static HWY_INLINE std::uint32_t code(float part) {
    const auto bits = std::bit_cast<std::uint32_t>(part);
    const std::uint32_t rounded = (bits + ((1U << (kCut - 1)) - 1) + ((bits >> kCut) & 1U)) >> kCut;
    const std::uint32_t small = kKeepsSmall ? 0U : std::bit_cast<std::uint32_t>(kLeast / 2);
    const std::uint32_t least = bits > small ? 1U : 0U;
    return rounded > kBelow ? rounded - kBelow : least;
  }
  static HWY_INLINE float value(std::uint32_t code) {
    return std::bit_cast<float>(code == 0 ? 0U : (code + kBelow) << kCut);
  }
};
using MCode = ByteCode<3, 127>;
using VCode = ByteCode<4, 255>;

// The largest magnitude of the block, or zero when the smallest codes could not be told from
// denormal numbers, which the threads flush.
HWY_INLINE float scale_of(const float* values) {
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < kSize; ++i) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(values[i]) & 0x7FFFFFFFU);
  }
  const auto scale = std::bit_cast<float>(largest);
  return scale < 0x1p-100F ? 0.0F : scale;
}

// Loops over whole blocks in local memory: of fixed length and without aliases.
HWY_INLINE void expand_bytes(const PackedMoments& moments, const Piece& piece, Expanded& to) {
  alignas(64) std::uint8_t m[kSize] = {};
  alignas(64) std::uint8_t v[kSize] = {};
  std::memcpy(m, static_cast<const std::uint8_t*>(moments.m) + piece.begin, size_of(piece));
  std::memcpy(v, static_cast<const std::uint8_t*>(moments.v) + piece.begin, size_of(piece));
  const float m_scale = moments.m_scales[piece.block];
  const float v_scale = moments.v_scales[piece.block];
  for (std::int64_t i = 0; i < kSize; ++i) {
    const std::uint32_t code = m[i];
    const float magnitude = m_scale * MCode::value(code & 0x7FU);
    to.m[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | (code & 0x80U) << 24);
    to.v[i] = v_scale * VCode::value(v[i]);
  }
}

HWY_INLINE void pack_bytes(const Expanded& from, const Piece& piece, const PackedMoments& moments) {
  const float m_scale = scale_of(from.m);
  const float v_scale = scale_of(from.v);
  moments.m_scales[piece.block] = m_scale;
  moments.v_scales[piece.block] = v_scale;
  // Without a scale everything is zero: what is left is far below the least code of 1.
  const float m_divisor = m_scale == 0 ? 1.0F : m_scale;
  const float v_divisor = v_scale == 0 ? 1.0F : v_scale;
  const std::uint32_t v_mask = v_scale == 0 ? 0U : 0xFFU;
  alignas(64) std::uint8_t m[kSize];
  alignas(64) std::uint8_t v[kSize];
  for (std::int64_t i = 0; i < kSize; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(from.m[i]);
    const std::uint32_t code =
        MCode::code<false>(std::bit_cast<float>(bits & 0x7FFFFFFFU) / m_divisor);
    const std::uint32_t sign = code == 0 ? 0U : bits >> 24 & 0x80U;
    m[i] = static_cast<std::uint8_t>(code | sign);
    v[i] = static_cast<std::uint8_t>(VCode::code<true>(from.v[i] / v_divisor) & v_mask);
  }
  std::memcpy(static_cast<std::uint8_t*>(moments.m) + piece.begin, m, size_of(piece));
  std::memcpy(static_cast<std::uint8_t*>(moments.v) + piece.begin, v, size_of(piece));
}

void expand_piece(const PackedMoments& moments, const Piece& piece, Expanded& to) {
  if (moments.code == MomentCode::kInt8) {
    expand_bytes(moments, piece, to);
  } else {
    expand_bf16(moments.m, piece, to.m);
    expand_bf16(moments.v, piece, to.v);
  }
}

template <class T>
struct Work {
  alignas(64) T m[kSize];
  alignas(64) T v[kSize];
};

// int8: with the root of v.
template <class T>
HWY_INLINE void narrow(const Work<T>& from, bool with_root, std::int64_t size, Expanded& to) {
  for (std::int64_t i = 0; i < kSize; ++i) {
    to.m[i] = i < size ? static_cast<float>(from.m[i]) : 0.0F;
    to.v[i] = i < size ? static_cast<float>(from.v[i]) : 0.0F;
  }
  if (with_root) {
    const hn::ScalableTag<float> d;
    for (std::size_t i = 0; i < static_cast<std::size_t>(kSize); i += hn::Lanes(d)) {
      hn::Store(hn::Sqrt(hn::Load(d, to.v + i)), d, to.v + i);
    }
  }
}

template <class T>
void update_pieces(const AdamwStep& step, const TensorView& w, const TensorView& g,
                   const PackedMoments& moments, std::int64_t first, std::int64_t last) {
  const AdamwFactors<T> factors(step);
  const bool bytes = moments.code == MomentCode::kInt8;
  Expanded expanded;
  Work<T> work;
  for (std::int64_t block = first; block < last; ++block) {
    const Piece piece = piece_of(moments, w.num_elements(), block);
    expand_piece(moments, piece, expanded);
    for (std::int64_t i = 0; i < piece.size; ++i) {
      const T v = expanded.v[i];
      work.m[i] = expanded.m[i];
      work.v[i] = bytes ? v * v : v;
    }
    adamw_range(factors, w.as<T>() + piece.begin, g.as<T>() + piece.begin, work.m, work.v,
                static_cast<std::size_t>(piece.size));
    narrow(work, bytes, piece.size, expanded);
    if (bytes) {
      pack_bytes(expanded, piece, moments);
    } else {
      pack_bf16_nearest(expanded.m, piece, moments.m);
      pack_bf16_random(moments, step.rounding_key, expanded.v, piece);
    }
  }
}

void update_blocks(const AdamwStep& step, const TensorView& w, const TensorView& g,
                   const PackedMoments& moments, std::int64_t first, std::int64_t last) {
  w.dtype == DType::kF64 ? update_pieces<double>(step, w, g, moments, first, last)
                         : update_pieces<float>(step, w, g, moments, first, last);
}

void expand_blocks(const PackedMoments& moments, const TensorView& m, const TensorView& v,
                   std::int64_t first, std::int64_t last) {
  Expanded expanded;
  for (std::int64_t block = first; block < last; ++block) {
    const Piece piece = piece_of(moments, m.num_elements(), block);
    expand_piece(moments, piece, expanded);
    std::copy_n(expanded.m, piece.size, m.as<float>() + piece.begin);
    std::copy_n(expanded.v, piece.size, v.as<float>() + piece.begin);
  }
}

void pack_blocks(const TensorView& m, const TensorView& v, const PackedMoments& moments,
                 std::int64_t first, std::int64_t last) {
  for (std::int64_t block = first; block < last; ++block) {
    const Piece piece = piece_of(moments, m.num_elements(), block);
    Expanded expanded{};
    std::copy_n(m.as<float>() + piece.begin, piece.size, expanded.m);
    std::copy_n(v.as<float>() + piece.begin, piece.size, expanded.v);
    if (moments.code == MomentCode::kInt8) {
      pack_bytes(expanded, piece, moments);
    } else {
      pack_bf16_nearest(expanded.m, piece, moments.m);
      pack_bf16_nearest(expanded.v, piece, moments.v);
    }
  }
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(update_blocks);
HWY_EXPORT(expand_blocks);
HWY_EXPORT(pack_blocks);

namespace {
constexpr std::int64_t kGrain = 32;  // blocks: 8192 elements, as for moments in full
}  // namespace

void adamw_update_packed(const Stream& /*stream*/, const AdamwStep& step, const TensorView& weight,
                         const TensorView& gradient, const PackedMoments& moments) {
  ensure_isa();
  parallel_for(moments.num_blocks(weight.num_elements()), kGrain,
               [&](std::int64_t first, std::int64_t last) {
                 HWY_DYNAMIC_DISPATCH(update_blocks)(step, weight, gradient, moments, first, last);
               });
}

void expand_moments(const Stream& /*stream*/, const PackedMoments& moments, const TensorView& m,
                    const TensorView& v) {
  ensure_isa();
  parallel_for(moments.num_blocks(m.num_elements()), kGrain,
               [&](std::int64_t first, std::int64_t last) {
                 HWY_DYNAMIC_DISPATCH(expand_blocks)(moments, m, v, first, last);
               });
}

void pack_moments(const Stream& /*stream*/, const TensorView& m, const TensorView& v,
                  const PackedMoments& moments) {
  ensure_isa();
  parallel_for(moments.num_blocks(m.num_elements()), kGrain,
               [&](std::int64_t first, std::int64_t last) {
                 HWY_DYNAMIC_DISPATCH(pack_blocks)(m, v, moments, first, last);
               });
}

}  // namespace finescale::cpu
#endif
