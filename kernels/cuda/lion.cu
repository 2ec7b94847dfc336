// SPDX-License-Identifier: Apache-2.0
// Every product that is added is an explicit fma, as in the vector code of the CPU twin, so both
// give the same bits.
#include <cmath>

#include "kernels/cuda/update_elements.h"
#include "kernels/cuda/update_rules.h"

namespace finescale::cuda {

namespace {

template <class T>
struct LionRule {
  T beta1, rest1, beta2, rest2;
  __device__ __forceinline__ void operator()(const StepFactors<T>& now, T gradient, T& weight,
                                             T (&states)[1]) const {
    const T grad = gradient * now.scale;
    const T mixed = fma(beta1, states[0], rest1 * grad);
    const T change = mixed == T(0) ? T(0) : copysign(now.rate, mixed);
    states[0] = fma(beta2, states[0], rest2 * grad);
    weight = weight * now.keep - change;
  }
};

template <class T>
void launch(const Stream& stream, const LionStep& step, const TensorView& weight,
            const TensorView& gradient, const TensorView& m) {
  const LionRule<T> rule{static_cast<T>(step.beta1), static_cast<T>(1 - step.beta1),
                         static_cast<T>(step.beta2), static_cast<T>(1 - step.beta2)};
  launch_update<T>(stream, rule, step.factors, weight, gradient, m);
}

}  // namespace

void lion_update(const Stream& stream, const LionStep& step, const TensorView& weight,
                 const TensorView& gradient, const TensorView& m) {
  weight.dtype == DType::kF64 ? launch<double>(stream, step, weight, gradient, m)
                              : launch<float>(stream, step, weight, gradient, m);
}

}  // namespace finescale::cuda
