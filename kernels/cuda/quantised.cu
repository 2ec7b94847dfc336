// SPDX-License-Identifier: Apache-2.0
// Codes to values. The codes of four neighbours lie in four neighbouring bytes, whatever their
// bits, because elements of a block share a byte with those a quarter or half of a block away.
#include "kernels/cuda/quantised.h"

#include <algorithm>
#include <bit>
#include <type_traits>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 128;
constexpr unsigned kLeastThreads = 8;  // of a row: 64 bytes of bf16
constexpr int kPacks = 4;              // of a thread, all on their way at once
constexpr unsigned kQuad = 4;          // codes of a word
constexpr unsigned kBlock = kQuantBlock;
constexpr int kLevels = 16;

// Of formats of up to four bits.
struct Levels {
  float of[kLevels];
};

// The codes of elements [first, first + 4) of a block, a byte each; first is a multiple of 4.
template <int kBits>
__device__ __forceinline__ unsigned codes_at(const std::uint8_t* block, unsigned first) {
  const auto word = [block](unsigned byte) {
    return *reinterpret_cast<const unsigned*>(block + byte);
  };
  if constexpr (kBits == 8) {
    return word(first);
  } else if constexpr (kBits == 4) {
    return word(first % 32) >> (first / 32 * 4) & 0x0F0F0F0FU;
  } else {
    unsigned codes = word(first % 16) >> (first / 16 * 2) & 0x03030303U;
    if constexpr (kBits == 3) {
      codes |= (word(16 + first % 8) >> (first / 8) & 0x01010101U) << 2;
    }
    return codes;
  }
}

// Of block `at` of this part, which is block `whole` of the whole matrix.
__device__ __forceinline__ float scale_at(const QuantisedMatrix& m, std::int64_t at,
                                          std::int64_t whole) {
  if (m.scales != nullptr) {
    return m.scales[at];
  }
  const std::uint64_t group = static_cast<std::uint64_t>(whole) / kScaleGroup;
  const auto step = static_cast<float>(m.scale_codes[at] - 128);
  // Not fused, as on the CPU.
  return __fadd_rn(m.scale_mean, __fmul_rn(m.scale_factors[group], step));
}

// Block (rows, part of their columns), of threads (columns, rows): out [R, C] = that part of m from
// `first_row` and from element `first_place` of a row's blocks on. A thread has kPacks packs of
// kWidth neighbours, 1 where quads of `out` and of the blocks are not the same.
template <int kBits, class S, int kWidth>
__global__ void __launch_bounds__(kThreads)
    expand_codes(QuantisedMatrix m, std::int64_t blocks, Levels levels, std::int64_t first_row,
                 std::int64_t first_place, S* __restrict__ out, std::int64_t stride,
                 std::int64_t rows, std::int64_t cols) {
  GPU_SHARED(float, level_of, [kLevels]);
  if constexpr (kBits < 8) {
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    if (thread < kLevels) {
      level_of[thread] = levels.of[thread];
    }
    __syncthreads();
  }
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (r >= rows) {
    return;
  }
  const std::int64_t row = first_row + r;
  const std::int64_t own = row * blocks;                          // its first block here
  const std::int64_t whole = m.first_block + row * m.row_blocks;  // and in the whole matrix
  const unsigned apart = blockDim.x * kWidth;
  const std::int64_t begin =
      static_cast<std::int64_t>(blockIdx.y) * (kPacks * apart) + threadIdx.x * kWidth;
  unsigned words[kPacks];
  float scales[kPacks];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const std::int64_t column = begin + p * apart;
    words[p] = 0;
    scales[p] = 0;
    if (column < cols) {
      const auto place = static_cast<unsigned>(first_place + column);
      const unsigned block = place / kBlock;
      const unsigned inside = place % kBlock;
      words[p] =
          codes_at<kBits>(m.codes + (own + block) * (kBlock / 8 * kBits), inside / kQuad * kQuad) >>
          (inside % kQuad * 8);
      scales[p] = scale_at(m, own + block, whole + block);
    }
  }
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const std::int64_t column = begin + p * apart;
    if (column < cols) {
      Compute<S> values[kWidth];
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const unsigned code = words[p] >> (8 * i) & 0xFFU;
        float level = 0;
        if constexpr (kBits == 8) {  // the lowest code is not used
          const int step = static_cast<int>(code) - 128;
          level = static_cast<float>(step < -127 ? -127 : step) / 127.0F;
        } else {
          level = level_of[code];
        }
        values[i] = static_cast<Compute<S>>(level * scales[p]);
      }
      store_some<kWidth, S>(values, cols - column, out + r * stride + column);
    }
  }
}

// Narrow rows share a block.
dim3 threads_for(std::int64_t cols, int width) {
  const unsigned wanted = blocks_for(cols, width);
  const unsigned x = std::clamp(std::bit_ceil(wanted), kLeastThreads, unsigned{kThreads});
  return {x, kThreads / x};
}

template <int kBits>
void expand(const Stream& stream, const QuantisedMatrix& matrix, std::int64_t row,
            std::int64_t column, const TensorView& out) {
  Levels levels{};
  if constexpr (kBits < 8) {
    const auto known = levels_of(matrix.format);
    std::copy(known.begin(), known.end(), levels.of);
  }
  for_storage(out.dtype, "dequantise", [&](auto tag) {
    using S = typename decltype(tag)::type;
    const bool is_packed = (matrix.phase + column) % kQuad == 0 && lies_on(kQuad, out);
    for_width<int{kQuad}>(is_packed, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      const dim3 block = threads_for(out.cols(), kWidth);
      gpu_launch(
          stream, expand_codes<kBits, S, kWidth>,
          dim3(blocks_for(out.rows(), block.y), blocks_for(out.cols(), block.x * kPacks * kWidth)),
          block, 0, matrix, matrix.blocks(), levels, row, matrix.phase + column, out.as<S>(),
          out.row_stride, out.rows(), out.cols());
    });
  });
}

}  // namespace

void dequantise(const Stream& stream, const QuantisedMatrix& matrix, std::int64_t row,
                std::int64_t column, const TensorView& out) {
  if (out.num_elements() == 0) {
    return;
  }
  switch (bits_of(matrix.format)) {
    case 8:
      return expand<8>(stream, matrix, row, column, out);
    case 4:
      return expand<4>(stream, matrix, row, column, out);
    case 3:
      return expand<3>(stream, matrix, row, column, out);
    default:
      return expand<2>(stream, matrix, row, column, out);
  }
}

}  // namespace finescale::cuda
