// SPDX-License-Identifier: Apache-2.0
// Lion (Chen et al. 2023), one pass: 20 bytes per f32 parameter.
#pragma once

#include "core/device.h"
#include "core/tensor.h"
#include "kernels/step_factors.h"

namespace finescale {

struct LionStep {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;
  double gradient_scale = 1;      // clipping coefficient
  const void* factors = nullptr;  // on a GPU, as those of AdamwStep
};
[[nodiscard]] StepFactors<double> step_factors(const LionStep& step);
// w -= lr wd w; w -= lr sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g. weight,
// gradient, m: flat, same length.
void lion_update(const Stream& stream, const LionStep& step, const TensorView& weight,
                 const TensorView& gradient, const TensorView& m);

}  // namespace finescale
