// SPDX-License-Identifier: Apache-2.0
// Sums over a warp and over a block in an order that depends on the block's size only, so equal
// inputs give equal bits.
#pragma once

#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

// Every lane gets the sum (each step adds the same two numbers in all lanes of a pair).
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (unsigned distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, static_cast<int>(distance));
  }
  return value;
}

// Every thread gets the sum. All threads of a one-dimensional block must enter. `parts` may be used
// again only after another barrier.
template <int kThreads, class T>
__device__ __forceinline__ T block_sum(T value, T (&parts)[kThreads / kWarp]) {
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) {
    parts[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  T total = parts[0];
#pragma unroll
  for (int i = 1; i < kThreads / static_cast<int>(kWarp); ++i) {
    total += parts[i];
  }
  return total;
}

}  // namespace finescale::cuda
