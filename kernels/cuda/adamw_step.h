// SPDX-License-Identifier: Apache-2.0
// The formula of AdamW for one element. Every product that is added is an explicit fma, as in the
// vector code of the CPU twin, so both give the same bits.
#pragma once

#include <cmath>

#include "kernels/adamw.h"
#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

// What all steps have in common.
template <class T>
struct AdamwFactors {
  T beta1, rest1, beta2, rest2, eps;
};

template <class T>
AdamwFactors<T> adamw_factors(const AdamwStep& step) {
  return {static_cast<T>(step.beta1), static_cast<T>(1 - step.beta1), static_cast<T>(step.beta2),
          static_cast<T>(1 - step.beta2), static_cast<T>(step.eps)};
}

template <class T>
__device__ __forceinline__ void adamw_moments(const AdamwFactors<T>& k, const StepFactors<T>& now,
                                              T gradient, T& m, T& v) {
  const T grad = gradient * now.scale;
  m = fma(k.beta1, m, k.rest1 * grad);
  v = fma(k.beta2, v, k.rest2 * (grad * grad));
}

// By what m is divided.
template <class T>
__device__ __forceinline__ T adamw_divisor(const AdamwFactors<T>& k, const StepFactors<T>& now,
                                           T root_of_v) {
  return fma(root_of_v, now.root, k.eps);
}

template <class T>
__device__ __forceinline__ T adamw_weight(const StepFactors<T>& now, T w, T quotient) {
  return fma(now.rate, quotient, w * now.keep);
}

template <class T>
__device__ __forceinline__ void adamw_element(const AdamwFactors<T>& k, const StepFactors<T>& now,
                                              T gradient, T& w, T& m, T& v) {
  adamw_moments(k, now, gradient, m, v);
  w = adamw_weight(now, w, m / adamw_divisor(k, now, sqrt(v)));
}

}  // namespace finescale::cuda
