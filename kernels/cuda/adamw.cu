// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/adamw.h"

#include "kernels/cuda/adamw_step.h"
#include "kernels/cuda/update_elements.h"

namespace finescale::cuda {

namespace {

template <class T>
struct AdamwRule {
  AdamwFactors<T> factors;
  __device__ __forceinline__ void operator()(const StepFactors<T>& now, T gradient, T& weight,
                                             T (&states)[2]) const {
    adamw_element(factors, now, gradient, weight, states[0], states[1]);
  }
};

template <class T>
void launch(const Stream& stream, const AdamwStep& step, const TensorView& weight,
            const TensorView& gradient, const TensorView& m, const TensorView& v) {
  launch_update<T>(stream, AdamwRule<T>{adamw_factors<T>(step)}, step.factors, weight, gradient, m,
                   v);
}

}  // namespace

void adamw_update(const Stream& stream, const AdamwStep& step, const TensorView& weight,
                  const TensorView& gradient, const TensorView& m, const TensorView& v) {
  weight.dtype == DType::kF64 ? launch<double>(stream, step, weight, gradient, m, v)
                              : launch<float>(stream, step, weight, gradient, m, v);
}

}  // namespace finescale::cuda
