// SPDX-License-Identifier: Apache-2.0
// GELU (Hendrycks and Gimpel 2016), x Phi(x) or its tanh form, plain or as a gate (Shazeer 2020).
// Letters: T tokens, F feed-forward width.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

enum class Gelu {
  kTanh,  // 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  kErf    // 0.5 x (1 + erf(x / sqrt(2)))
};

// x [T, F], y [T, F] = gelu(x).
void gelu_forward(const Stream& stream, Gelu kind, const TensorView& x, const TensorView& y);
// dx [T, F] is overwritten and may be the same memory as x.
void gelu_backward(const Stream& stream, Gelu kind, const TensorView& dy, const TensorView& x,
                   const TensorView& dx);

// gate_up [T, 2F] (gate first), y [T, F] = gelu(gate) * up.
void geglu_forward(const Stream& stream, Gelu kind, const TensorView& gate_up, const TensorView& y);
// dgate_up [T, 2F] is overwritten and may be the same memory as gate_up.
void geglu_backward(const Stream& stream, Gelu kind, const TensorView& dy,
                    const TensorView& gate_up, const TensorView& dgate_up);

}  // namespace finescale
