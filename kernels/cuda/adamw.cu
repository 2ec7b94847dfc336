// SPDX-License-Identifier: Apache-2.0
// One thread per element, bound by memory. Every product that is added is an explicit fma, as in
// the vector code of the CPU twin, so both give the same bits.
#include "kernels/cuda/adamw.h"

#include <cmath>

#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 256;

template <class T>
struct Coefficients {
  T scale, beta1, rest1, beta2, rest2, keep, rate, root, eps;
};

template <class T>
Coefficients<T> make_coefficients(const AdamwStep& step) {
  const double correction1 = 1 - std::pow(step.beta1, static_cast<double>(step.step));
  const double correction2 = 1 - std::pow(step.beta2, static_cast<double>(step.step));
  return {static_cast<T>(step.gradient_scale),
          static_cast<T>(step.beta1),
          static_cast<T>(1 - step.beta1),
          static_cast<T>(step.beta2),
          static_cast<T>(1 - step.beta2),
          static_cast<T>(1 - step.learning_rate * step.weight_decay),
          static_cast<T>(-step.learning_rate / correction1),
          static_cast<T>(1 / std::sqrt(correction2)),
          static_cast<T>(step.eps)};
}

// w, g, m, v [count]
template <class T>
__global__ void __launch_bounds__(kThreads)
    update(Coefficients<T> k, T* __restrict__ w, const T* __restrict__ g, T* __restrict__ m,
           T* __restrict__ v, std::int64_t count) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) {
    return;
  }
  const T grad = g[i] * k.scale;
  const T first = fma(k.beta1, m[i], k.rest1 * grad);
  const T second = fma(k.beta2, v[i], k.rest2 * (grad * grad));
  m[i] = first;
  v[i] = second;
  w[i] = fma(k.rate, first / fma(sqrt(second), k.root, k.eps), w[i] * k.keep);
}

template <class T>
void launch(const Stream& stream, const AdamwStep& step, const TensorView& weight,
            const TensorView& gradient, const TensorView& m, const TensorView& v) {
  const std::int64_t count = weight.num_elements();
  gpu_launch(stream, update<T>, dim3(blocks_for(count, kThreads)), dim3(kThreads), 0,
             make_coefficients<T>(step), weight.as<T>(), gradient.as<T>(), m.as<T>(), v.as<T>(),
             count);
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
