// SPDX-License-Identifier: Apache-2.0
// Gradient descent, one pass: 12 bytes per f32 parameter, with momentum 20.
#pragma once

#include "core/device.h"
#include "core/tensor.h"
#include "kernels/step_factors.h"

namespace finescale {

struct SgdStep {
  double learning_rate = 0;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  double gradient_scale = 1;      // clipping coefficient
  const void* factors = nullptr;  // on a GPU, as those of AdamwStep
};
[[nodiscard]] StepFactors<double> step_factors(const SgdStep& step);
// m = momentum m + g; w -= lr wd w; w -= lr m, with nesterov lr (g + momentum m). weight, gradient,
// m: flat, same length; m may be empty without momentum.
void sgd_update(const Stream& stream, const SgdStep& step, const TensorView& weight,
                const TensorView& gradient, const TensorView& m);

}  // namespace finescale
