// SPDX-License-Identifier: Apache-2.0
// RMSNorm (Zhang and Sennrich 2019): y = x / sqrt(mean(x^2) + eps) * weight, optionally with the
// residual added first. Letters: T tokens, C model width, H query heads, K key/value heads, D head
// width, F feed-forward width, V vocabulary.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// x [T, C]; residual [T, C] or empty: then x += residual in place first. weight [C], y [T, C], rstd
// [T] out.
void rmsnorm_forward(const Stream& stream, const TensorView& x, const TensorView& residual,
                     const TensorView& weight, double eps, const TensorView& y,
                     const TensorView& rstd);

// dy [T, C]; dx [T, C] += gradient with respect to x. dweight [C] += or empty: not computed. The
// sum over T for dweight is taken in a fixed order that depends on T and C only.
void rmsnorm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                      const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                      const TensorView& dweight);

}  // namespace finescale
