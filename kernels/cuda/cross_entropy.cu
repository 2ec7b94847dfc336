// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy in place, one block per row: one pass for maximum and sum together, one for
// the gradient. Letters: R rows, V vocabulary.
#include "kernels/cuda/cross_entropy.h"

#include "kernels/cuda/softmax.h"

namespace finescale::cuda {

namespace {

// logits [R, V] with a row stride, labels [R] in [0, V), weights [R] or null, losses [R].
template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 4)  // left free it spills f64 on sm_90
    softmax_loss(T* logits, std::int64_t stride, const std::int32_t* __restrict__ labels,
                 const T* __restrict__ weights, T scale, T* __restrict__ losses, std::int64_t width,
                 bool want_gradient) {
  GPU_SHARED(Exponentials<T>, parts, [kSoftmaxWarps]);
  const std::int64_t r = blockIdx.x;
  T* row = logits + r * stride;
  const std::int32_t label = labels[r];
  const T weight = weights == nullptr ? T(1) : weights[r];
  const T target = threadIdx.x == 0 ? row[label] : T(0);  // before its thread overwrites it
  const Exponentials<T> all = exponentials_of(row, width, parts);
  if (threadIdx.x == 0) {
    losses[r] = weight * (log(all.sum) + all.max - target);
  }
  if (!want_gradient) {
    return;
  }
  const T factor = weight * scale / all.sum;
  for (std::int64_t c = threadIdx.x; c < width; c += kSoftmaxThreads) {
    row[c] = exp(row[c] - all.max) * factor - (c == label ? weight * scale : T(0));
  }
}

template <class T>
void launch(const Stream& stream, const TensorView& logits, const TensorView& labels,
            const TensorView& weights, double scale, const TensorView& losses, bool want_gradient) {
  gpu_launch(stream, softmax_loss<T>, dim3(static_cast<unsigned>(logits.rows())),
             dim3(kSoftmaxThreads), 0, logits.as<T>(), logits.row_stride, labels.as<std::int32_t>(),
             weights.as<T>(), static_cast<T>(scale), losses.as<T>(), logits.cols(), want_gradient);
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
