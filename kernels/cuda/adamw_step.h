// SPDX-License-Identifier: Apache-2.0
// The formula of AdamW for one element. Every product that is added is an explicit fma, as in the
// vector code of the CPU twin, so both give the same bits.
#pragma once

#include <cmath>

#include "kernels/adamw.h"
#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

template <class T>
struct AdamwFactors {
  T scale, beta1, rest1, beta2, rest2, keep, rate, root, eps;
};

template <class T>
AdamwFactors<T> adamw_factors(const AdamwStep& step) {
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

template <class T>
__device__ __forceinline__ void adamw_element(const AdamwFactors<T>& k, T gradient, T& w, T& m,
                                              T& v) {
  const T grad = gradient * k.scale;
  m = fma(k.beta1, m, k.rest1 * grad);
  v = fma(k.beta2, v, k.rest2 * (grad * grad));
  w = fma(k.rate, m / fma(sqrt(v), k.root, k.eps), w * k.keep);
}

}  // namespace finescale::cuda
