// SPDX-License-Identifier: Apache-2.0
#include "kernels/sgd.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

StepFactors<double> step_factors(const SgdStep& step) {
  return {.scale = step.gradient_scale,
          .keep = 1 - step.learning_rate * step.weight_decay,
          .rate = -step.learning_rate};
}

void sgd_update(const Stream& stream, const SgdStep& step, const TensorView& weight,
                const TensorView& gradient, const TensorView& m) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "sgd", {weight.num_elements()}, 0, bytes_of(gradient) + 2 * bytes_of(weight, m)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::sgd_update(stream, step, weight, gradient, m);
      return;
    case DeviceType::kCuda:
      cuda::sgd_update(stream, step, weight, gradient, m);
      return;
  }
}

}  // namespace finescale
