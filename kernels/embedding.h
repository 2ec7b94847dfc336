// SPDX-License-Identifier: Apache-2.0
// Token embedding.
// Letters: T tokens, C model width, H query heads, K key/value heads, D head width, F feed-forward
// width, V vocabulary.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

constexpr std::int32_t kNoRow = -1;  // a token whose row another rank holds

// tokens [T] i32 in [0, V) or kNoRow (a row of zeros), weight [V, C], y [T, C]. The weight may be
// bf16 where y is f32: a bf16 is an f32 with fewer digits, so nothing is rounded.
void embedding_forward(const Stream& stream, const TensorView& tokens, const TensorView& weight,
                       const TensorView& y);

// The backward pass: to [V, C] gets dy [T, C]. Rows of one token are added among themselves in the
// order of T and then once to `to`, whatever the number of threads; kNoRow is left out.
void embedding_backward(const Stream& stream, const TensorView& tokens, const TensorView& dy,
                        const TensorView& to);

// The same bits in two steps, so that the rows may travel between them. First: ids [T] i32: the
// tokens that occur, in order of their first place; rows [T, C]: their sums, may be dy itself.
// Returns how many there are.
[[nodiscard]] std::int64_t embedding_gather_gradient(const Stream& stream, const TensorView& tokens,
                                                     const TensorView& dy, const TensorView& ids,
                                                     const TensorView& rows);
// Then: to [V, C], to[ids[u]] += rows[u] for ids [U], all different, and rows [U, C].
void add_rows(const Stream& stream, const TensorView& ids, const TensorView& rows,
              const TensorView& to);

}  // namespace finescale
