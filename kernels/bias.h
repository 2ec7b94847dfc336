// SPDX-License-Identifier: Apache-2.0
// A vector added to every row, and its gradient. Letters: T tokens, C columns.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// y [T, C] += bias [C] in every row.
void bias_add(const Stream& stream, const TensorView& bias, const TensorView& y);

// dbias [C] += sum over T of dy [T, C], in blocks of 64 rows: the order depends on T only.
void bias_gradient(const Stream& stream, const TensorView& dy, const TensorView& dbias);

// x = factor x + addend in every element.
void affine_in_place(const Stream& stream, double factor, double addend, const TensorView& x);

}  // namespace finescale
