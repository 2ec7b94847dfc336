// SPDX-License-Identifier: Apache-2.0
// Norms and activations as a model's shape asks for them, for the tape and for the decoder: which
// kernels carry them out.
#pragma once

#include <cstdint>

#include "configs/decoder.h"
#include "core/device.h"
#include "core/tensor.h"
#include "worker/model/linear.h"

namespace finescale {

struct NormRule {
  DecoderShape::Norm kind = DecoderShape::Norm::kRms;
  double eps = 1e-6;
  double offset = 0;  // RMSNorm multiplies by weight + this

  [[nodiscard]] std::int64_t num_statistics() const noexcept {  // of a row, kept for backward
    return kind == DecoderShape::Norm::kLayer ? 2 : 1;
  }
};
[[nodiscard]] NormRule norm_rule(const DecoderShape& shape);

// x, y [T, C]; x += residual first unless empty. statistics: T * num_statistics() elements.
// shifted [C]: scratch, used with an offset only.
void norm_forward(const Stream& stream, const NormRule& rule, const TensorView& x,
                  const TensorView& residual, const Weight& weight, const TensorView& shifted,
                  const TensorView& y, const TensorView& statistics);
// dx [T, C] += or empty; the weight's gradients += when it trains.
void norm_backward(const Stream& stream, const NormRule& rule, const TensorView& dy,
                   const TensorView& x, const Weight& weight, const TensorView& shifted,
                   const TensorView& statistics, const TensorView& dx);

struct ActivationRule {
  DecoderShape::Activation kind = DecoderShape::Activation::kSilu;
  bool gated = true;  // x [T, 2F]: gate, up; else x [T, F]

  [[nodiscard]] std::int64_t num_inputs() const noexcept { return gated ? 2 : 1; }
};
[[nodiscard]] ActivationRule activation_rule(const DecoderShape& shape);

void activation_forward(const Stream& stream, const ActivationRule& rule, const TensorView& x,
                        const TensorView& y);
// dx may be the same memory as x. y (or empty) is made again on the way.
void activation_backward(const Stream& stream, const ActivationRule& rule, const TensorView& dy,
                         const TensorView& x, const TensorView& dx, const TensorView& y);

}  // namespace finescale
