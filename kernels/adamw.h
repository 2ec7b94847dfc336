// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter 2019), one pass: 28 bytes per f32 parameter.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/tensor.h"
#include "kernels/step_factors.h"

namespace finescale {

struct AdamwStep {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  std::int64_t step = 1;           // 1-based, for bias correction
  double gradient_scale = 1;       // clipping coefficient
  std::uint32_t rounding_key = 0;  // of moments in bf16: for this tensor and step
  // On a GPU: step_factors(*this) as StepFactors of the weight's type, in its memory. Kernels read
  // these instead of what they follow from.
  const void* factors = nullptr;
};
[[nodiscard]] StepFactors<double> step_factors(const AdamwStep& step);
// weight, gradient, m, v: flat, same length. m and v have the weight's dtype.
void adamw_update(const Stream& stream, const AdamwStep& step, const TensorView& weight,
                  const TensorView& gradient, const TensorView& m, const TensorView& v);

}  // namespace finescale
