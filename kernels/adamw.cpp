// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"

#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

StepFactors<double> step_factors(const AdamwStep& step) {
  const double correction1 = 1 - std::pow(step.beta1, static_cast<double>(step.step));
  const double correction2 = 1 - std::pow(step.beta2, static_cast<double>(step.step));
  return {.scale = step.gradient_scale,
          .keep = 1 - step.learning_rate * step.weight_decay,
          .rate = -step.learning_rate / correction1,
          .root = 1 / std::sqrt(correction2),
          .rounding_key = step.rounding_key};
}

void adamw_update(const Stream& stream, const AdamwStep& step, const TensorView& weight,
                  const TensorView& gradient, const TensorView& m, const TensorView& v) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "adamw", {weight.num_elements()}, 0, bytes_of(gradient) + 2 * bytes_of(weight, m, v)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::adamw_update(stream, step, weight, gradient, m, v);
      return;
    case DeviceType::kCuda:
      cuda::adamw_update(stream, step, weight, gradient, m, v);
      return;
  }
}

}  // namespace finescale
