// SPDX-License-Identifier: Apache-2.0
// Parts of attention on tensor cores: tiles of bf16 in shared memory, fragments of a warp's 16
// rows. Letters: D head width.
#pragma once

#include <type_traits>

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/mma.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda::mma {

inline constexpr int kWarps = 4;
inline constexpr int kThreads = kWarps * static_cast<int>(kWarp);
inline constexpr int kRows = 16 * kWarps;  // of a block
// Fewer blocks of a multiprocessor where the compiler needs more registers for the same source.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
inline constexpr int kFewerBlocks = 1;
#else
inline constexpr int kFewerBlocks = 0;
#endif

// Elements between rows in shared memory: 16 bytes more than a multiple of 128 (64 for D = 32), so
// that eight rows of a matrix lie in different banks.
template <int kHeadDim>
inline constexpr int kStride = kHeadDim + kPackOfBf16;

// tile [kCount][kStride] = rows [first, first + kCount) of x, on their way; zeros from row `end`
// and column `width` on.
template <int kHeadDim, int kCount>
__device__ __forceinline__ void copy_in(AsyncCopies& copies, const Heads<const Bf16>& x, int first,
                                        int end, int width, Bf16* tile) {
  constexpr int kPacks = kHeadDim / kPackOfBf16;
  static_assert(kCount * kPacks % kThreads == 0);
#pragma unroll
  for (int begin = 0; begin < kCount * kPacks; begin += kThreads) {
    const int i = begin + static_cast<int>(threadIdx.x);
    const int row = i / kPacks;
    const int column = i % kPacks * kPackOfBf16;
    const bool there = first + row < end && column < width;
    copies.copy(there ? x.data + (first + row) * x.stride + column : x.data,
                tile + row * kStride<kHeadDim> + column, there);
  }
}

// Rows row + [0, 16) of a tile, columns column + [0, 16): the lane's row for load_matrices, in the
// order of a fragment of a; load_transposed takes the same for two fragments of b.
template <int kHeadDim>
__device__ __forceinline__ const Bf16* matrices_by_rows(const Bf16* tile, int row, int column) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  return tile + (row + lane % 16) * kStride<kHeadDim> + column + lane / 16 * 8;
}

// The same for two fragments of b that lie in rows: the columns come first.
template <int kHeadDim>
__device__ __forceinline__ const Bf16* matrices_by_columns(const Bf16* tile, int row, int column) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  return tile + (row + lane % 8 + lane / 16 * 8) * kStride<kHeadDim> + column + lane / 8 % 2 * 8;
}

// Of a row, over the four lanes that share it.
__device__ __forceinline__ float quad_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
  return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}
__device__ __forceinline__ float quad_sum(float value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}

// sums [16, D] += a [16, kCount] b [kCount, D]: a as products leave the tensor cores, b in a tile.
template <int kHeadDim, int kCount>
__device__ __forceinline__ void accumulate(const float (&a)[kCount / 8][4], const Bf16* b,
                                           float (&sums)[kHeadDim / 8][4]) {
#pragma unroll
  for (int n = 0; n < kCount; n += 16) {
    const auto& low = a[n / 8];
    const auto& high = a[n / 8 + 1];
    const unsigned fragment[4] = {bf16_pair(low[0], low[1]), bf16_pair(low[2], low[3]),
                                  bf16_pair(high[0], high[1]), bf16_pair(high[2], high[3])};
#pragma unroll
    for (int d = 0; d < kHeadDim; d += 16) {
      unsigned pair[4];
      load_transposed(pair, matrices_by_rows<kHeadDim>(b, n, d));
      multiply_add(sums[d / 8], fragment, pair[0], pair[1]);
      multiply_add(sums[d / 8 + 1], fragment, pair[2], pair[3]);
    }
  }
}

// A warp's 16 rows of sums [16, D], divided by `by`, to rows [first, end) of x: through the warp's
// rows of a tile, so that they leave in packs.
template <int kHeadDim>
__device__ __forceinline__ void store_sums(const float (&sums)[kHeadDim / 8][4],
                                           const float (&by)[2], int first, int end, int width,
                                           Bf16* tile, const Heads<Bf16>& x) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  Bf16* own = tile + threadIdx.x / kWarp * 16 * kStride<kHeadDim>;
#pragma unroll
  for (int m = 0; m < kHeadDim / 8; ++m) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = lane / 4 + 8 * r;
      const int column = 8 * m + lane % 4 * 2;
      *reinterpret_cast<Word<4>*>(own + row * kStride<kHeadDim> + column) =
          bf16_pair(sums[m][2 * r] / by[r], sums[m][2 * r + 1] / by[r]);
    }
  }
  __syncwarp();
  constexpr int kPacks = kHeadDim / kPackOfBf16;
  for (int i = lane; i < 16 * kPacks; i += static_cast<int>(kWarp)) {
    const int row = i / kPacks;
    const int column = i % kPacks * kPackOfBf16;
    if (first + row < end && column < width) {
      *reinterpret_cast<uint4*>(x.data + (first + row) * x.stride + column) =
          *reinterpret_cast<const uint4*>(own + row * kStride<kHeadDim> + column);
    }
  }
}

// run(std::integral_constant<int, D>()): the head width rounded up.
template <class Run>
void for_mma(const AttentionShape& shape, const Run& run) {
  if (shape.head_dim <= 32) {
    run(std::integral_constant<int, 32>());
  } else if (shape.head_dim <= 64) {
    run(std::integral_constant<int, 64>());
  } else {
    run(std::integral_constant<int, 128>());
  }
}

}  // namespace finescale::cuda::mma
