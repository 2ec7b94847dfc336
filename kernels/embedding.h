// SPDX-License-Identifier: Apache-2.0
// Token embedding.
// Letters: T tokens, C model width, H query heads, K key/value heads, D head width, F feed-forward
// width, V vocabulary.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// tokens [T] i32 in [0, V), weight [V, C], y [T, C].
void embedding_forward(const Stream& stream, const TensorView& tokens, const TensorView& weight,
                       const TensorView& y);
// dweight [V, C] += ; rows of one token are added in the order of T, whatever the number of
// threads.
void embedding_backward(const Stream& stream, const TensorView& tokens, const TensorView& dy,
                        const TensorView& dweight);

}  // namespace finescale
