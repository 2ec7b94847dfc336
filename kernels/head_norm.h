// SPDX-License-Identifier: Apache-2.0
// RMSNorm of each head of a projection, with one weight for all heads (q and k of Qwen3). Letters:
// T tokens, N heads, D head width.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// x [T, N*D] (row stride respected), weight [D], y [T, N*D], which may be x, rstd [T, N]
// out.
void head_norm_forward(const Stream& stream, const TensorView& x, const TensorView& weight,
                       double eps, const TensorView& y, const TensorView& rstd);

// dx [T, N*D] is overwritten and may be the same memory as dy. dweight [D] += or empty: not
// computed; its sum over T and N is taken in a fixed order that depends on T and N only.
void head_norm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                        const TensorView& dweight);

}  // namespace finescale
