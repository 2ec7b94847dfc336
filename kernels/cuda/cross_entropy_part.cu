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
template <class Row, class T = typename Row::Value>
__global__ void __launch_bounds__(Row::kBlock, kSoftmaxBlocks<T, Row::kBlock>)
    part_statistics(const T* __restrict__ logits, std::int64_t stride,
                    const std::int32_t* __restrict__ labels, T* __restrict__ statistics,
                    int width) {
  GPU_SHARED(T, parts, [2][Row::kWarps]);
  const std::int64_t r = blockIdx.x;
  const T* own = logits + r * stride;
  Row row(own, width, nullptr, 0);
  row.hold();
  const Exponentials<T> all = row.exponentials(parts);
  if (threadIdx.x == 0) {
    const std::int32_t label = labels[r];
    statistics[3 * r] = all.max;
    statistics[3 * r + 1] = all.sum;
    statistics[3 * r + 2] = label >= 0 && label < width ? own[label] : T(0);
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

// whole [R, 3] of the whole vocabulary; weights [R] or null, losses [R]; gradient [R, V] with a row
// stride of its own, or null: not wanted.
template <class Row, class S, class T = typename Row::Value>
__global__ void __launch_bounds__(Row::kBlock, kSoftmaxBlocks<T, Row::kBlock>)
    part_gradient(const T* logits, std::int64_t stride, const std::int32_t* __restrict__ labels,
                  const T* __restrict__ weights, T scale, const T* __restrict__ whole,
                  T* __restrict__ losses, int width, S* gradient, std::int64_t gradient_stride) {
  const std::int64_t r = blockIdx.x;
  const T max = whole[3 * r];
  const T sum = whole[3 * r + 1];
  const T weight = weights == nullptr ? T(1) : weights[r];
  if (threadIdx.x == 0) {
    losses[r] = weight * (log(sum) + max - whole[3 * r + 2]);
  }
  if (gradient == nullptr) {
    return;
  }
  Row row(logits + r * stride, width, nullptr, 0);
  row.hold();
  if (sizeof(S) != sizeof(T)) {
    __syncthreads();  // writing begins where others read
  }
  row.write(LogitGradient<T>{max, weight * scale / sum, weight * scale, labels[r]},
            gradient + r * gradient_stride);
}

dim3 a_block_each(const TensorView& logits) {
  return dim3(static_cast<unsigned>(logits.rows()));
}

template <class T>
void statistics_of(const Stream& stream, const TensorView& logits, const TensorView& labels,
                   const TensorView& statistics) {
  for_softmax_rows<T>(logits, {}, [&](auto tag) {
    using Row = typename decltype(tag)::type;
    gpu_launch(stream, part_statistics<Row>, a_block_each(logits), dim3(Row::kBlock), 0,
               logits.as<T>(), logits.row_stride, labels.as<std::int32_t>(), statistics.as<T>(),
               static_cast<int>(logits.cols()));
  });
}

template <class T>
void combine(const Stream& stream, const TensorView& parts, const TensorView& whole) {
  const std::int64_t rows = whole.rows();
  gpu_launch(stream, join_statistics<T>, dim3(blocks_for(rows, kRowsPerBlock)), dim3(kRowsPerBlock),
             0, parts.as<T>(), whole.as<T>(), parts.rows() / rows, rows);
}

template <class T, class S>
void finish(const Stream& stream, const TensorView& logits, const TensorView& labels,
            const TensorView& weights, double scale, const TensorView& whole,
            const TensorView& losses, const TensorView& gradient) {
  for_softmax_rows<T>(logits, gradient, [&](auto tag) {
    using Row = typename decltype(tag)::type;
    gpu_launch(stream, part_gradient<Row, S>, a_block_each(logits), dim3(Row::kBlock), 0,
               logits.as<T>(), logits.row_stride, labels.as<std::int32_t>(), weights.as<T>(),
               static_cast<T>(scale), whole.as<T>(), losses.as<T>(),
               static_cast<int>(logits.cols()), gradient.as<S>(), gradient.row_stride);
  });
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
                          const TensorView& whole, const TensorView& losses,
                          const TensorView& gradient) {
  if (logits.rows() == 0) {
    return;
  }
  for_gradient(logits, gradient, [&](auto t, auto s) {
    finish<typename decltype(t)::type, typename decltype(s)::type>(stream, logits, labels, weights,
                                                                   scale, whole, losses, gradient);
  });
}

}  // namespace finescale::cuda
