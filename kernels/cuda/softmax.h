// SPDX-License-Identifier: Apache-2.0
// The maximum of a row of logits and the sum of its exponentials in one pass (Milakov and
// Gimelshein 2018, online softmax), by one block.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

inline constexpr int kSoftmaxThreads = 256;
inline constexpr int kSoftmaxWarps = kSoftmaxThreads / static_cast<int>(kWarp);

// sum of exp(x - max) over some logits; an empty set has max -inf and sum 0.
template <class T>
struct Exponentials {
  T max;
  T sum;
};

template <class T>
__device__ __forceinline__ Exponentials<T> merged(Exponentials<T> a, Exponentials<T> b) {
  const T max = a.max > b.max ? a.max : b.max;
  if (isinf(max)) {  // both empty: exp(-inf + inf) would be NaN
    return {max, T(0)};
  }
  return {max, a.sum * exp(a.max - max) + b.sum * exp(b.max - max)};
}

// Of row [width], the same for every thread of the block; parts [kSoftmaxWarps] is shared memory.
// What a thread does in front of the call has been done by all threads when it returns.
template <class T>
__device__ __forceinline__ Exponentials<T> exponentials_of(const T* row, std::int64_t width,
                                                           Exponentials<T>* parts) {
  Exponentials<T> own = {-static_cast<T>(INFINITY), T(0)};
  for (std::int64_t c = threadIdx.x; c < width; c += kSoftmaxThreads) {
    own = merged(own, Exponentials<T>{row[c], T(1)});
  }
#pragma unroll
  for (unsigned distance = kWarp / 2; distance > 0; distance /= 2) {
    const int lanes = static_cast<int>(distance);
    Exponentials<T> other;
    other.max = __shfl_xor_sync(kAllLanes, own.max, lanes);
    other.sum = __shfl_xor_sync(kAllLanes, own.sum, lanes);
    own = merged(own, other);
  }
  if (threadIdx.x % kWarp == 0) {
    parts[threadIdx.x / kWarp] = own;
  }
  __syncthreads();
  Exponentials<T> all = parts[0];
#pragma unroll
  for (int i = 1; i < kSoftmaxWarps; ++i) {
    all = merged(all, parts[i]);
  }
  return all;
}

}  // namespace finescale::cuda
