// SPDX-License-Identifier: Apache-2.0
// Loops are plain: compiled once per Highway target, the compiler turns them into its vectors.
// Layouts are those of ggml-quants; q is a quantised weight, d and m a block's scale and minimum.
#include "checkpoint/formats/gguf_decode.h"

#include <bit>
#include <cstddef>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "checkpoint/formats/gguf_decode.cpp"
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace finescale::HWY_NAMESPACE {
namespace {

using Bytes = const std::uint8_t*;

HWY_INLINE std::uint32_t load16(Bytes p) {
  return p[0] | static_cast<std::uint32_t>(p[1]) << 8;
}

// Without a branch, so that loops of it become vectors.
HWY_INLINE float half(std::uint32_t h) {
  const std::uint32_t magnitude = h & 0x7FFFU;
  constexpr std::uint32_t kRebias = (127 - 15) << 23;
  const std::uint32_t moved = (magnitude << 13) + kRebias + (magnitude >= 0x7C00U ? kRebias : 0);
  // A subnormal is its integer times 2^-24, exactly.
  const auto small =
      std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<int>(magnitude)) * 0x1p-24F);
  return std::bit_cast<float>((h & 0x8000U) << 16 | (magnitude < 0x400U ? small : moved));
}

struct F32 {
  static constexpr int kElements = 1;
  static constexpr int kBytes = 4;
  static HWY_INLINE void decode(Bytes from, float* out) { std::memcpy(out, from, 4); }
};

struct F16 {
  static constexpr int kElements = 1;
  static constexpr int kBytes = 2;
  static HWY_INLINE void decode(Bytes from, float* out) { *out = half(load16(from)); }
};

struct Bf16 {
  static constexpr int kElements = 1;
  static constexpr int kBytes = 2;
  static HWY_INLINE void decode(Bytes from, float* out) {
    *out = std::bit_cast<float>(load16(from) << 16);
  }
};

// d, 16 bytes: low nibbles are the first 16 weights.
struct Q40 {
  static constexpr int kElements = 32;
  static constexpr int kBytes = 18;
  static HWY_INLINE void decode(Bytes from, float* out) {
    const float d = half(load16(from));
    for (int j = 0; j < 16; ++j) {
      const int q = from[2 + j];
      out[j] = d * static_cast<float>((q & 15) - 8);
      out[j + 16] = d * static_cast<float>((q >> 4) - 8);
    }
  }
};

// d, m, 16 bytes.
struct Q41 {
  static constexpr int kElements = 32;
  static constexpr int kBytes = 20;
  static HWY_INLINE void decode(Bytes from, float* out) {
    const float d = half(load16(from));
    const float m = half(load16(from + 2));
    for (int j = 0; j < 16; ++j) {
      const int q = from[4 + j];
      out[j] = d * static_cast<float>(q & 15) + m;
      out[j + 16] = d * static_cast<float>(q >> 4) + m;
    }
  }
};

// The fifth bits of 32 weights are a word: weight j has bit j.
HWY_INLINE std::uint32_t load32(Bytes p) {
  return load16(p) | load16(p + 2) << 16;
}

struct Q50 {
  static constexpr int kElements = 32;
  static constexpr int kBytes = 22;
  static HWY_INLINE void decode(Bytes from, float* out) {
    const float d = half(load16(from));
    const std::uint32_t high = load32(from + 2);
    for (int j = 0; j < 16; ++j) {
      const std::uint32_t q = from[6 + j];
      const auto first = static_cast<int>((q & 15U) | (high >> j & 1U) << 4);
      const auto second = static_cast<int>(q >> 4 | (high >> (j + 16) & 1U) << 4);
      out[j] = d * static_cast<float>(first - 16);
      out[j + 16] = d * static_cast<float>(second - 16);
    }
  }
};

struct Q51 {
  static constexpr int kElements = 32;
  static constexpr int kBytes = 24;
  static HWY_INLINE void decode(Bytes from, float* out) {
    const float d = half(load16(from));
    const float m = half(load16(from + 2));
    const std::uint32_t high = load32(from + 4);
    for (int j = 0; j < 16; ++j) {
      const std::uint32_t q = from[8 + j];
      const auto first = static_cast<int>((q & 15U) | (high >> j & 1U) << 4);
      const auto second = static_cast<int>(q >> 4 | (high >> (j + 16) & 1U) << 4);
      out[j] = d * static_cast<float>(first) + m;
      out[j + 16] = d * static_cast<float>(second) + m;
    }
  }
};

struct Q80 {
  static constexpr int kElements = 32;
  static constexpr int kBytes = 34;
  static HWY_INLINE void decode(Bytes from, float* out) {
    const float d = half(load16(from));
    for (int j = 0; j < 32; ++j) {
      out[j] = static_cast<float>(static_cast<std::int8_t>(from[2 + j])) * d;
    }
  }
};

// Scale and minimum of the 8 groups of 32, six bits each in 12 bytes: the first four whole in
// bytes 0-3 and 4-7, the others' low bits in 8-11 and their high bits above those of the first.
HWY_INLINE void scale_and_min(Bytes packed, std::ptrdiff_t group, float& scale, float& min) {
  if (group < 4) {
    scale = static_cast<float>(packed[group] & 63);
    min = static_cast<float>(packed[group + 4] & 63);
  } else {
    scale = static_cast<float>((packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4);
    min = static_cast<float>((packed[group + 4] >> 4) | (packed[group] >> 6) << 4);
  }
}

// d, dmin, 12 bytes of scales, 128 bytes: each 32 of them hold two groups.
struct Q4K {
  static constexpr int kElements = 256;
  static constexpr int kBytes = 144;
  static HWY_INLINE void decode(Bytes from, float* out) {
    const float d = half(load16(from));
    const float dmin = half(load16(from + 2));
    for (std::ptrdiff_t group = 0; group < 8; ++group) {
      float scale = 0;
      float min = 0;
      scale_and_min(from + 4, group, scale, min);
      const float dl = d * scale;
      const float ml = dmin * min;
      const std::uint8_t* q = from + 16 + group / 2 * 32;
      const int shift = static_cast<int>(group % 2) * 4;
      for (int j = 0; j < 32; ++j) {
        out[group * 32 + j] = dl * static_cast<float>(q[j] >> shift & 15) - ml;
      }
    }
  }
};

// As Q4_K with 32 bytes of fifth bits in front of the nibbles: bit g of byte j is group g's.
struct Q5K {
  static constexpr int kElements = 256;
  static constexpr int kBytes = 176;
  static HWY_INLINE void decode(Bytes from, float* out) {
    const float d = half(load16(from));
    const float dmin = half(load16(from + 2));
    const std::uint8_t* high = from + 16;
    for (std::ptrdiff_t group = 0; group < 8; ++group) {
      float scale = 0;
      float min = 0;
      scale_and_min(from + 4, group, scale, min);
      const float dl = d * scale;
      const float ml = dmin * min;
      const std::uint8_t* low = from + 48 + group / 2 * 32;
      const int shift = static_cast<int>(group % 2) * 4;
      for (int j = 0; j < 32; ++j) {
        const int q = (low[j] >> shift & 15) | (high[j] >> static_cast<int>(group) & 1) << 4;
        out[group * 32 + j] = dl * static_cast<float>(q) - ml;
      }
    }
  }
};

// 128 bytes of low nibbles, 64 of high pairs of bits, 16 scales, d. Each half of the block has 64
// and 32 of them: low nibbles are its groups 0 and 1, high ones 2 and 3.
struct Q6K {
  static constexpr int kElements = 256;
  static constexpr int kBytes = 210;
  static HWY_INLINE void decode(Bytes from, float* out) {
    const auto* scales = reinterpret_cast<const std::int8_t*>(from + 192);
    const float d = half(load16(from + 208));
    for (std::ptrdiff_t run = 0; run < 16; ++run) {  // 16 weights with one scale
      const std::ptrdiff_t group = run / 2;
      const std::ptrdiff_t first = run % 2 * 16;
      const std::uint8_t* low = from + group / 4 * 64 + group % 2 * 32 + first;
      const std::uint8_t* high = from + 128 + group / 4 * 32 + first;
      const int low_shift = static_cast<int>(group % 4 / 2) * 4;
      const int high_shift = static_cast<int>(group % 4) * 2;
      const float dl = d * static_cast<float>(scales[run]);
      for (int j = 0; j < 16; ++j) {
        const int q = (low[j] >> low_shift & 15) | (high[j] >> high_shift & 3) << 4;
        out[run * 16 + j] = dl * static_cast<float>(q - 32);
      }
    }
  }
};

template <class Block>
void decode_run(Bytes from, std::int64_t blocks, float* out) {
  for (std::int64_t i = 0; i < blocks; ++i) {
    Block::decode(from + i * Block::kBytes, out + i * Block::kElements);
  }
}

}  // namespace

void decode_blocks(GgufType type, Bytes from, std::int64_t blocks, float* out) {
  switch (type) {
    case GgufType::kF32:
      return decode_run<F32>(from, blocks, out);
    case GgufType::kF16:
      return decode_run<F16>(from, blocks, out);
    case GgufType::kBf16:
      return decode_run<Bf16>(from, blocks, out);
    case GgufType::kQ40:
      return decode_run<Q40>(from, blocks, out);
    case GgufType::kQ41:
      return decode_run<Q41>(from, blocks, out);
    case GgufType::kQ50:
      return decode_run<Q50>(from, blocks, out);
    case GgufType::kQ51:
      return decode_run<Q51>(from, blocks, out);
    case GgufType::kQ80:
      return decode_run<Q80>(from, blocks, out);
    case GgufType::kQ4K:
      return decode_run<Q4K>(from, blocks, out);
    case GgufType::kQ5K:
      return decode_run<Q5K>(from, blocks, out);
    case GgufType::kQ6K:
      return decode_run<Q6K>(from, blocks, out);
  }
}

}  // namespace finescale::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale {

HWY_EXPORT(decode_blocks);

void decode_gguf_blocks(GgufType type, const std::byte* from, std::int64_t blocks, float* out) {
  HWY_DYNAMIC_DISPATCH(decode_blocks)
  (type, reinterpret_cast<const std::uint8_t*>(from), blocks, out);
}

}  // namespace finescale
#endif
