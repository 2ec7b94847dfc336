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
  T momentum;
  bool nesterov;
  __device__ __forceinline__ void operator()(const StepFactors<T>& now, T gradient, T& weight,
                                             T (&states)[1]) const {
    const T grad = gradient * now.scale;
    states[0] = fma(momentum, states[0], grad);
    const T change = nesterov ? fma(momentum, states[0], grad) : states[0];
    weight = fma(now.rate, change, weight * now.keep);
  }
};

template <class T>
struct PlainRule {  // without momentum there is no state
  __device__ __forceinline__ void operator()(const StepFactors<T>& now, T gradient, T& weight,
                                             T (&/*states*/)[1]) const {
    weight = fma(now.rate, gradient * now.scale, weight * now.keep);
  }
};

template <class T>
void launch(const Stream& stream, const SgdStep& step, const TensorView& weight,
            const TensorView& gradient, const TensorView& m) {
  if (step.momentum > 0) {
    const SgdRule<T> rule{static_cast<T>(step.momentum), step.nesterov};
    launch_update<T>(stream, rule, step.factors, weight, gradient, m);
  } else {
    launch_update<T>(stream, PlainRule<T>{}, step.factors, weight, gradient);
  }
}

}  // namespace

void sgd_update(const Stream& stream, const SgdStep& step, const TensorView& weight,
                const TensorView& gradient, const TensorView& m) {
  weight.dtype == DType::kF64 ? launch<double>(stream, step, weight, gradient, m)
                              : launch<float>(stream, step, weight, gradient, m);
}

}  // namespace finescale::cuda
