// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021), rotate-half convention: pairs (i, i + R/2).
// Letters: T tokens, N heads, D head width, R rotated columns of a head, P positions.
#pragma once

#include <cstdint>
#include <span>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// cos, sin [P, R/2], filled for positions 0..P-1; frequencies [R/2] are angles per position.
void rope_table(std::span<const double> frequencies, const TensorView& cos, const TensorView& sin);

// x [T, N*D] in place (row stride respected): the first R columns of each head of head_dim D,
// R <= D. positions [T] i32. `inverse` rotates back: that is the backward pass.
void rope_apply(const Stream& stream, const TensorView& x, std::int64_t head_dim,
                const TensorView& positions, const TensorView& cos, const TensorView& sin,
                bool inverse);

}  // namespace finescale
