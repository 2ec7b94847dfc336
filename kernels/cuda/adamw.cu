// SPDX-License-Identifier: Apache-2.0
// One thread per pack, bound by memory.
#include "kernels/cuda/adamw.h"

#include "kernels/cuda/adamw_step.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 256;

// w, g, m, v [count]
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads)
    update(AdamwFactors<T> k, T* __restrict__ w, const T* __restrict__ g, T* __restrict__ m,
           T* __restrict__ v, std::int64_t count) {
  const std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (i >= count) {
    return;
  }
  const std::int64_t left = count - i;
  T weight[kWidth];
  T gradient[kWidth];
  T first[kWidth];
  T second[kWidth];
  load_some(w + i, left, weight);
  load_some(g + i, left, gradient);
  load_some(m + i, left, first);
  load_some(v + i, left, second);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    adamw_element(k, gradient[e], weight[e], first[e], second[e]);
  }
  store_some(first, left, m + i);
  store_some(second, left, v + i);
  store_some(weight, left, w + i);
}

template <class T>
void launch(const Stream& stream, const AdamwStep& step, const TensorView& weight,
            const TensorView& gradient, const TensorView& m, const TensorView& v) {
  const std::int64_t count = weight.num_elements();
  for_width<kPack<T>>(lies_on(kPack<T>, weight, gradient, m, v), [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(stream, update<T, kWidth>, dim3(blocks_for(count, kThreads * kWidth)),
               dim3(kThreads), 0, adamw_factors<T>(step), weight.as<T>(), gradient.as<T>(),
               m.as<T>(), v.as<T>(), count);
  });
}

}  // namespace

void adamw_update(const Stream& stream, const AdamwStep& step, const TensorView& weight,
                  const TensorView& gradient, const TensorView& m, const TensorView& v) {
  if (weight.num_elements() == 0) {
    return;
  }
  weight.dtype == DType::kF64 ? launch<double>(stream, step, weight, gradient, m, v)
                              : launch<float>(stream, step, weight, gradient, m, v);
}

}  // namespace finescale::cuda
