// SPDX-License-Identifier: Apache-2.0
// Output head and loss in one pass over chunks of rows: the logits of the whole batch never exist.
// Letters: T tokens, C model width, H query heads, K key/value heads, D head width, F feed-forward
// width, V vocabulary.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

constexpr std::int32_t kIgnoreLabel = -100;

// Rows per chunk such that chunk x V logits stay in cache.
[[nodiscard]] std::int64_t cross_entropy_chunk_rows(std::int64_t vocab_size, DType dtype) noexcept;

// x [T, C], weight [V, C], labels [T] i32 (kIgnoreLabel: not scored), weights [T] or empty: factor
// of each token's loss. losses [T] out: weighted negative log-likelihood, 0 where not scored.
// scratch [chunk, V]. Rows without a label cost nothing: they are gathered out in front of the head
// product (gathered [T, C] scratch). Forward only when dx is empty. Else dx [T, C] is overwritten
// by scale * gradient, and dweight [V, C] += scale * gradient unless empty. scale is 1 / labelled
// tokens of the global batch.
void linear_cross_entropy(const Stream& stream, const TensorView& x, const TensorView& weight,
                          const TensorView& labels, const TensorView& weights, double scale,
                          const TensorView& losses, const TensorView& dx, const TensorView& dweight,
                          const TensorView& gathered, const TensorView& scratch);

// Softmax cross-entropy of given logits [R, V] in place: logits become scale * weights * (softmax -
// onehot); losses [R]. labels [R] all valid. Used per chunk by the above; the CUDA twin is the same
// operation.
void cross_entropy_in_place(const Stream& stream, const TensorView& logits,
                            const TensorView& labels, const TensorView& weights, double scale,
                            const TensorView& losses, bool want_gradient);

}  // namespace finescale
