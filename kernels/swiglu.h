// SPDX-License-Identifier: Apache-2.0
// SwiGLU (Shazeer 2020): y = silu(gate) * up.
// Letters: T tokens, C model width, H query heads, K key/value heads, D head width, F feed-forward
// width, V vocabulary.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// gate_up [T, 2F] (gate first), y [T, F].
void swiglu_forward(const Stream& stream, const TensorView& gate_up, const TensorView& y);
// dgate_up [T, 2F] is overwritten and may be the same memory as gate_up. y (or empty) is recomputed
// into it on the way.
void swiglu_backward(const Stream& stream, const TensorView& dy, const TensorView& gate_up,
                     const TensorView& dgate_up, const TensorView& y);

}  // namespace finescale
