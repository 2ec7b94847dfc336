// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy when the vocabulary is cut over ranks, one block per row: what a rank tells
// the others about its logits, how their answers are joined, and what it does with the result.
// Letters: R rows, V vocabulary of this rank.
#include "kernels/cuda/cross_entropy.h"
#include "kernels/cuda/softmax.h"

namespace finescale::cuda {

namespace {

constexpr int kRowsPerBlock = 128;  // of the joining, one thread each

// logits [R, V] with a row stride, labels [R], outside [0, V) where another rank holds the row;
// statistics [R, 3]: largest logit, sum of exp(logit - largest), logit of the label or 0.
template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 4)
    part_statistics(const T* __restrict__ logits, std::int64_t stride,
                    const std::int32_t* __restrict__ labels, T* __restrict__ statistics,
                    std::int64_t width) {
  GPU_SHARED(Exponentials<T>, parts, [kSoftmaxWarps]);
  const std::int64_t r = blockIdx.x;
  const T* row = logits + r * stride;
  const Exponentials<T> all = exponentials_of(row, width, parts);
  if (threadIdx.x == 0) {
    const std::int32_t label = labels[r];
    statistics[3 * r] = all.max;
    statistics[3 * r + 1] = all.sum;
    statistics[3 * r + 2] = label >= 0 && label < width ? row[label] : T(0);
  }
}

// parts [t, R, 3] of all ranks, whole [R, 3].
template <class T>
__global__ void join_statistics(const T* __restrict__ parts, T* __restrict__ whole, int ranks,
                                std::int64_t rows) {
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x;
  if (r >= rows) {
    return;
  }
  Exponentials<T> all = {parts[3 * r], parts[3 * r + 1]};
  T target = parts[3 * r + 2];
  for (int rank = 1; rank < ranks; ++rank) {
    const T* part = parts + 3 * (rank * rows + r);
    all = merged(all, Exponentials<T>{part[0], part[1]});
    target += part[2];  // zero on all ranks but one
  }
  whole[3 * r] = all.max;
  whole[3 * r + 1] = all.sum;
  whole[3 * r + 2] = target;
}

// whole [R, 3] of the whole vocabulary; weights [R] or null, losses [R].
template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 4)
    part_gradient(T* logits, std::int64_t stride, const std::int32_t* __restrict__ labels,
                  const T* __restrict__ weights, T scale, const T* __restrict__ whole,
                  T* __restrict__ losses, std::int64_t width, bool want_gradient) {
  const std::int64_t r = blockIdx.x;
  const T max = whole[3 * r];
  const T sum = whole[3 * r + 1];
  const T weight = weights == nullptr ? T(1) : weights[r];
  if (threadIdx.x == 0) {
    losses[r] = weight * (log(sum) + max - whole[3 * r + 2]);
  }
  if (!want_gradient) {
    return;
  }
  T* row = logits + r * stride;
  const std::int32_t label = labels[r];
  const T factor = weight * scale / sum;
  for (std::int64_t c = threadIdx.x; c < width; c += kSoftmaxThreads) {
    row[c] = exp(row[c] - max) * factor - (c == label ? weight * scale : T(0));
  }
}

dim3 a_block_each(const TensorView& logits) {
  return dim3(static_cast<unsigned>(logits.rows()));
}

template <class T>
void statistics_of(const Stream& stream, const TensorView& logits, const TensorView& labels,
                   const TensorView& statistics) {
  gpu_launch(stream, part_statistics<T>, a_block_each(logits), dim3(kSoftmaxThreads), 0,
             logits.as<T>(), logits.row_stride, labels.as<std::int32_t>(), statistics.as<T>(),
             logits.cols());
}

template <class T>
void combine(const Stream& stream, const TensorView& parts, const TensorView& whole) {
  const std::int64_t rows = whole.rows();
  gpu_launch(stream, join_statistics<T>, dim3(blocks_for(rows, kRowsPerBlock)), dim3(kRowsPerBlock),
             0, parts.as<T>(), whole.as<T>(), parts.rows() / rows, rows);
}

template <class T>
void finish(const Stream& stream, const TensorView& logits, const TensorView& labels,
            const TensorView& weights, double scale, const TensorView& whole,
            const TensorView& losses, bool want_gradient) {
  gpu_launch(stream, part_gradient<T>, a_block_each(logits), dim3(kSoftmaxThreads), 0,
             logits.as<T>(), logits.row_stride, labels.as<std::int32_t>(), weights.as<T>(),
             static_cast<T>(scale), whole.as<T>(), losses.as<T>(), logits.cols(), want_gradient);
}

}  // namespace

void cross_entropy_statistics(const Stream& stream, const TensorView& logits,
                              const TensorView& labels, const TensorView& statistics,
                              bool /*want_gradient*/) {
  if (logits.rows() == 0) {
    return;
  }
  logits.dtype == DType::kF64 ? statistics_of<double>(stream, logits, labels, statistics)
                              : statistics_of<float>(stream, logits, labels, statistics);
}

void cross_entropy_combine(const Stream& stream, const TensorView& parts, const TensorView& whole) {
  if (whole.rows() == 0) {
    return;
  }
  whole.dtype == DType::kF64 ? combine<double>(stream, parts, whole)
                             : combine<float>(stream, parts, whole);
}

void cross_entropy_finish(const Stream& stream, const TensorView& logits, const TensorView& labels,
                          const TensorView& weights, double scale, const TensorView& /*own*/,
                          const TensorView& whole, const TensorView& losses, bool want_gradient) {
  if (logits.rows() == 0) {
    return;
  }
  logits.dtype == DType::kF64
      ? finish<double>(stream, logits, labels, weights, scale, whole, losses, want_gradient)
      : finish<float>(stream, logits, labels, weights, scale, whole, losses, want_gradient);
}

}  // namespace finescale::cuda
