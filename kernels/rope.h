// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021), rotate-half convention: pairs (i, i + D/2).
// Letters: T tokens, C model width, H query heads, K key/value heads, D head width, F feed-forward
// width, V vocabulary.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// cos, sin [P, D/2], filled for positions 0..P-1 and base theta.
void rope_table(double theta, const TensorView& cos, const TensorView& sin);

// x [T, N*D] in place (row stride respected), positions [T] i32. `inverse` rotates back: that is
// the backward pass.
void rope_apply(const Stream& stream, const TensorView& x, const TensorView& positions,
                const TensorView& cos, const TensorView& sin, bool inverse);

}  // namespace finescale
