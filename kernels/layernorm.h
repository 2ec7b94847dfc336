// SPDX-License-Identifier: Apache-2.0
// LayerNorm (Ba et al. 2016): y = (x - mean) / sqrt(variance + eps) * weight + bias, optionally
// with the residual added first. Letters: T tokens, C model width.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// x [T, C]; residual [T, C] or empty: then x += residual in place first. weight, bias [C], y [T,
// C], statistics [T, 2] out: mean and 1 / sqrt(variance + eps) of each row.
void layernorm_forward(const Stream& stream, const TensorView& x, const TensorView& residual,
                       const TensorView& weight, const TensorView& bias, double eps,
                       const TensorView& y, const TensorView& statistics);

// dy [T, C]; dx [T, C] += gradient with respect to x, or empty. dweight [C] += or empty: not
// computed (dbias is bias_gradient of dy). Sums over T are taken in a fixed order that depends on T
// and C only.
void layernorm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& statistics,
                        const TensorView& dx, const TensorView& dweight);

}  // namespace finescale
