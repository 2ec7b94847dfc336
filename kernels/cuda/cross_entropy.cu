// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy, one block per row: one sweep for maximum and sum together, one for the
// gradient. Letters: R rows, V vocabulary.
#include "kernels/cuda/cross_entropy.h"

#include <algorithm>

#include "kernels/cuda/softmax.h"

namespace finescale::cuda {

namespace {

// logits [R, V] with a row stride, labels [R] in [0, V), weights [R] or null, losses [R]; gradient
// [R, V] with a row stride of its own, or null: not wanted.
template <class Row, class S, class T = typename Row::Value>
__global__ void __launch_bounds__(Row::kBlock, kSoftmaxBlocks<T, Row::kBlock>)
    softmax_loss(const T* logits, std::int64_t stride, const std::int32_t* __restrict__ labels,
                 const T* __restrict__ weights, T scale, T* __restrict__ losses, int width,
                 int kept_steps, S* gradient, std::int64_t gradient_stride) {
  GPU_SHARED(T, parts, [2][Row::kWarps]);
  GPU_DYNAMIC_SHARED(T, kept);
  const std::int64_t r = blockIdx.x;
  const T* own = logits + r * stride;
  const std::int32_t label = labels[r];
  const T weight = weights == nullptr ? T(1) : weights[r];
  const T target = threadIdx.x == 0 ? own[label] : T(0);  // before its thread overwrites it
  Row row(own, width, kept, kept_steps);
  row.hold();
  const Exponentials<T> all = row.exponentials(parts);
  if (threadIdx.x == 0) {
    losses[r] = weight * (log(all.sum) + all.max - target);
  }
  if (gradient != nullptr) {
    row.write(LogitGradient<T>{all.max, weight * scale / all.sum, weight * scale, label},
              gradient + r * gradient_stride);
  }
}

// Steps of a row behind those in registers that there is room for on this GPU.
template <class Row>
int kept_steps(std::int64_t width) {
  using T = typename Row::Value;
  constexpr std::size_t kStepBytes = Row::kStep * sizeof(T);
  constexpr std::size_t kOwnBytes = 2 * Row::kWarps * sizeof(T);
  const std::int64_t steps = blocks_for(width, Row::kStep);
  const auto room = static_cast<std::int64_t>((most_shared_bytes() - kOwnBytes) / kStepBytes);
  const std::int64_t wanted = std::clamp<std::int64_t>(steps - Row::kHeldSteps, 0, room);
  return static_cast<int>(std::min(blocks_for(wanted, Row::kBatch) * Row::kBatch,
                                   static_cast<unsigned>(room / Row::kBatch * Row::kBatch)));
}

template <class T, class S>
void launch(const Stream& stream, const TensorView& logits, const TensorView& labels,
            const TensorView& weights, double scale, const TensorView& losses,
            const TensorView& gradient) {
  for_softmax_rows<T>(logits, gradient, [&](auto tag) {
    using Row = typename decltype(tag)::type;
    const int kept = gradient.empty() ? 0 : kept_steps<Row>(logits.cols());
    gpu_launch(stream, softmax_loss<Row, S>, dim3(static_cast<unsigned>(logits.rows())),
               dim3(Row::kBlock), static_cast<std::size_t>(kept) * Row::kStep * sizeof(T),
               logits.as<T>(), logits.row_stride, labels.as<std::int32_t>(), weights.as<T>(),
               static_cast<T>(scale), losses.as<T>(), static_cast<int>(logits.cols()), kept,
               gradient.as<S>(), gradient.row_stride);
  });
}

}  // namespace

void cross_entropy_in_place(const Stream& stream, const TensorView& logits,
                            const TensorView& labels, const TensorView& weights, double scale,
                            const TensorView& losses, const TensorView& gradient) {
  if (logits.rows() == 0) {
    return;
  }
  for_gradient(logits, gradient, [&](auto t, auto s) {
    launch<typename decltype(t)::type, typename decltype(s)::type>(stream, logits, labels, weights,
                                                                   scale, losses, gradient);
  });
}

}  // namespace finescale::cuda
