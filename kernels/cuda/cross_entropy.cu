// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy in place, one block per row: one pass for maximum and sum together (Milakov
// and Gimelshein 2018, online softmax), one for the gradient. Letters: R rows, V vocabulary.
#include "kernels/cuda/cross_entropy.h"

#include <cmath>

#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / static_cast<int>(kWarp);

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

// logits [R, V] with a row stride, labels [R] in [0, V), weights [R] or null, losses [R].
template <class T>
__global__ void __launch_bounds__(kThreads, 4)  // left free it spills f64 on sm_90
    softmax_loss(T* logits, std::int64_t stride, const std::int32_t* __restrict__ labels,
                 const T* __restrict__ weights, T scale, T* __restrict__ losses, std::int64_t width,
                 bool want_gradient) {
  GPU_SHARED(Exponentials<T>, parts, [kWarps]);
  const std::int64_t r = blockIdx.x;
  T* row = logits + r * stride;
  const std::int32_t label = labels[r];
  const T weight = weights == nullptr ? T(1) : weights[r];
  const T lowest = -static_cast<T>(INFINITY);
  Exponentials<T> own = {lowest, T(0)};
  for (std::int64_t c = threadIdx.x; c < width; c += kThreads) {
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
  const T target = threadIdx.x == 0 ? row[label] : T(0);  // before its thread overwrites it
  __syncthreads();
  Exponentials<T> all = parts[0];
#pragma unroll
  for (int i = 1; i < kWarps; ++i) {
    all = merged(all, parts[i]);
  }
  if (threadIdx.x == 0) {
    losses[r] = weight * (log(all.sum) + all.max - target);
  }
  if (!want_gradient) {
    return;
  }
  const T factor = weight * scale / all.sum;
  for (std::int64_t c = threadIdx.x; c < width; c += kThreads) {
    row[c] = exp(row[c] - all.max) * factor - (c == label ? weight * scale : T(0));
  }
}

template <class T>
void launch(const Stream& stream, const TensorView& logits, const TensorView& labels,
            const TensorView& weights, double scale, const TensorView& losses, bool want_gradient) {
  gpu_launch(stream, softmax_loss<T>, dim3(static_cast<unsigned>(logits.rows())), dim3(kThreads), 0,
             logits.as<T>(), logits.row_stride, labels.as<std::int32_t>(), weights.as<T>(),
             static_cast<T>(scale), losses.as<T>(), logits.cols(), want_gradient);
}

}  // namespace

void cross_entropy_in_place(const Stream& stream, const TensorView& logits,
                            const TensorView& labels, const TensorView& weights, double scale,
                            const TensorView& losses, bool want_gradient) {
  if (logits.rows() == 0) {
    return;
  }
  logits.dtype == DType::kF64
      ? launch<double>(stream, logits, labels, weights, scale, losses, want_gradient)
      : launch<float>(stream, logits, labels, weights, scale, losses, want_gradient);
}

}  // namespace finescale::cuda
