// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/faulty.h"

#include <cmath>

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/block_sum.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 64;

// Reverses `count` = 64 numbers through shared memory.
__global__ void reverse_numbers(const float* in, float* out, Fault fault) {
  GPU_SHARED(float, tile, [kThreads]);
  const unsigned t = threadIdx.x;
  if (fault == Fault::kEarlyReturn && t == 3) {
    return;
  }
  tile[t] = in[t];
  if (fault == Fault::kDivergentBarriers && t % 2 == 0) {
    __syncthreads();
  } else if (fault != Fault::kMissingBarrier) {
    __syncthreads();
  }
  if (fault == Fault::kOverrun) {
    tile[t + 1] = tile[t];  // the last thread writes behind the end
  }
  out[t] = tile[kThreads - 1 - t];
}

__global__ void sum_by_shuffles(const float* in, float* out, Fault fault) {
  float value = in[threadIdx.x];
  if (fault == Fault::kHalfShuffles && threadIdx.x >= 16 && threadIdx.x < 32) {
    out[threadIdx.x] = 0;
    __syncthreads();
    return;
  }
  if (fault == Fault::kHalfMask) {  // half of the warp is not in it
    value = __uint_as_float(__reduce_max_sync(0xffffU, __float_as_uint(value)));
  }
  value = warp_sum(value);
  out[threadIdx.x] = value;
  __syncthreads();
}

// Two blocks of a warp.
__global__ void swap_neighbours(const float* in, float* out, Fault fault) {
  GPU_SHARED(float, tile, [kWarp]);
  const unsigned t = threadIdx.x;
  const unsigned at = (fault == Fault::kTwoOwners ? 0 : blockIdx.x * kWarp) + t;
  tile[t] = in[at];
  const float same = __shfl_xor_sync(kAllLanes, in[at], 0);
  if (fault != Fault::kMissingWarpSync) {
    __syncwarp();
  }
  out[at] = tile[t ^ 1U] + same - in[at];
  if (fault == Fault::kNextBlock && at + 1 == kWarp) {
    out[at + 1] = 0;  // right only when the block that owns it comes later
  }
}

// One warp: each thread moves 4 of the 64 numbers of both halves, the upper half of the warp none.
__global__ void copy_numbers(const float* in, float* out, Fault fault) {
  GPU_SHARED(float, tile, [kThreads]);
  const unsigned t = threadIdx.x;
  const bool mine = t < kThreads / 8;
  AsyncCopies copies;
  for (unsigned half = 0; half < 2; ++half) {
    const unsigned at = half * (kThreads / 2) + 4 * t;
    if (mine) {
      copies.copy(in + at, tile + at, true);
    }
    copies.end_group();
  }
  if (fault == Fault::kCopiesUnderWay) {
    copies.wait<1>();
  } else {
    copies.wait<0>();
  }
  __syncthreads();
  const unsigned end = fault == Fault::kCopiesUnderWay ? kThreads / 2 : kThreads;
  for (unsigned i = t; i < end; i += kWarp) {
    out[i] = tile[i];
  }
}

}  // namespace

void run_copies(const float* in, float* out, Fault fault) {
  gpu_launch(Stream(DeviceType::kCuda), copy_numbers, dim3(1), dim3(kWarp), 0, in, out, fault);
}

void run_swap(const float* in, float* out, Fault fault) {
  gpu_launch(Stream(DeviceType::kCuda), swap_neighbours, dim3(2), dim3(kWarp), 0, in, out, fault);
}

void run_reverse(const float* in, float* out, Fault fault) {
  gpu_launch(Stream(DeviceType::kCuda), reverse_numbers, dim3(1), dim3(kThreads), 0, in, out,
             fault);
}

void run_sum(const float* in, float* out, Fault fault) {
  gpu_launch(Stream(DeviceType::kCuda), sum_by_shuffles, dim3(1), dim3(kThreads), 0, in, out,
             fault);
}

}  // namespace finescale::cuda
