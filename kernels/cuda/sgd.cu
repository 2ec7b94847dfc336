// SPDX-License-Identifier: Apache-2.0
// Every product that is added is an explicit fma, as in the vector code of the CPU twin, so both
// give the same bits.
#include <cmath>

#include "kernels/cuda/update_elements.h"
#include "kernels/cuda/update_rules.h"

namespace finescale::cuda {

namespace {

template <class T>
struct SgdRule {
  T scale, momentum, keep, rate;
  bool nesterov;
  __device__ __forceinline__ void operator()(T gradient, T& weight, T (&states)[1]) const {
    const T grad = gradient * scale;
    states[0] = fma(momentum, states[0], grad);
    const T change = nesterov ? fma(momentum, states[0], grad) : states[0];
    weight = fma(rate, change, weight * keep);
  }
};

template <class T>
struct PlainRule {  // without momentum there is no state
  T scale, keep, rate;
  __device__ __forceinline__ void operator()(T gradient, T& weight, T (&/*states*/)[1]) const {
    weight = fma(rate, gradient * scale, weight * keep);
  }
};

template <class T>
void launch(const Stream& stream, const SgdStep& step, const TensorView& weight,
            const TensorView& gradient, const TensorView& m) {
  const auto scale = static_cast<T>(step.gradient_scale);
  const auto keep = static_cast<T>(1 - step.learning_rate * step.weight_decay);
  const auto rate = static_cast<T>(-step.learning_rate);
  if (step.momentum > 0) {
    const SgdRule<T> rule{scale, static_cast<T>(step.momentum), keep, rate, step.nesterov};
    launch_update<T>(stream, rule, weight, gradient, m);
  } else {
    launch_update<T>(stream, PlainRule<T>{scale, keep, rate}, weight, gradient);
  }
}

}  // namespace

void sgd_update(const Stream& stream, const SgdStep& step, const TensorView& weight,
                const TensorView& gradient, const TensorView& m) {
  weight.dtype == DType::kF64 ? launch<double>(stream, step, weight, gradient, m)
                              : launch<float>(stream, step, weight, gradient, m);
}

}  // namespace finescale::cuda
