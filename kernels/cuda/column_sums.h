// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of a matrix, column by column, in an order that depends on its shape only:
// gradients of weights and biases of norms and projections.
#pragma once

#include <cstdint>

#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

// A block of kSumColumns x kSumSlices threads takes kSumColumns columns: a warp reads neighbouring
// ones, the warps take turns at blocks of rows.
constexpr int kSumColumns = 32;
constexpr int kSumSlices = 16;
constexpr std::int64_t kSumRowBlock = 64;  // rounding grows with T / 64, as in the CPU twin

// out[c] += sum over rows t of what add(t, c, sum) adds to its sum. All threads of a block enter.
template <class T, class Add>
__device__ __forceinline__ void add_column_sums(T (&sums)[kSumSlices][kSumColumns],
                                                std::int64_t rows, std::int64_t width, T* out,
                                                Add add) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kSumColumns + threadIdx.x;
  T total = 0;
  if (c < width) {
    for (std::int64_t begin = threadIdx.y * kSumRowBlock; begin < rows;
         begin += kSumSlices * kSumRowBlock) {
      const std::int64_t end = begin + kSumRowBlock < rows ? begin + kSumRowBlock : rows;
      T sum = 0;
#pragma unroll 4  // more would spill f64 on sm_90
      for (std::int64_t t = begin; t < end; ++t) {
        add(t, c, sum);
      }
      total += sum;
    }
  }
  sums[threadIdx.y][threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.y == 0 && c < width) {
    T sum = sums[0][threadIdx.x];
    for (int slice = 1; slice < kSumSlices; ++slice) {
      sum += sums[slice][threadIdx.x];
    }
    out[c] += sum;
  }
}

}  // namespace finescale::cuda
