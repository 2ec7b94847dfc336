// SPDX-License-Identifier: Apache-2.0
// Output head and loss in one pass over chunks of rows: the logits of the whole batch never exist.
// Letters: T tokens, C model width, H query heads, K key/value heads, D head width, F feed-forward
// width, V vocabulary.
#pragma once

#include <cstdint>
#include <functional>

#include "core/device.h"
#include "core/tensor.h"
#include "kernels/divergence.h"

namespace finescale {

constexpr std::int32_t kIgnoreLabel = -100;

// A vocabulary cut over ranks: weight and logits hold the rows [begin, begin + V) of it, and no
// rank ever holds all logits of a token.
struct VocabularyPart {
  std::int64_t begin = 0;
  // Given this rank's statistics [R, 3] of a chunk (largest logit, sum of exp(logit - largest),
  // logit of the label or 0 when another rank holds it), with a teacher its [R, 7], puts those of
  // the whole vocabulary in their place. Collective over the ranks that share the vocabulary.
  std::function<void(const TensorView& statistics)> combine;
};

// Added to every row of logits: value [V]; gradient [V] += or empty.
struct HeadBias {
  TensorView value;
  TensorView gradient;
};

// x [T, C], weight [V, C], labels [T] i32 in the host's memory (kIgnoreLabel: not scored), weights
// [T] or empty: factor of each token's loss. losses [T] out: weighted negative log-likelihood, 0
// where not scored. scratch [chunk, V]. Rows without a label cost nothing: they are gathered out in
// front of the head product (gathered [T, C] scratch). With a part, labels count from the whole
// vocabulary's begin and dx is this rank's part of a sum. Forward only when dx is empty. Else dx
// [T, C] is overwritten by scale * gradient, and dweight [V, C] += scale * gradient unless empty.
// scale is 1 / labelled tokens of the global batch. With a teacher (on the CPU) the loss of a token
// is what its rule says.
void linear_cross_entropy(const Stream& stream, const TensorView& x, const TensorView& weight,
                          const TensorView& labels, const TensorView& weights, double scale,
                          const TensorView& losses, const TensorView& dx, const TensorView& dweight,
                          const TensorView& gathered, const TensorView& scratch,
                          const VocabularyPart* part = nullptr, const HeadBias* bias = nullptr,
                          const TeacherRows* teacher = nullptr);

// Where the gradient of logits [R, V] goes: into their place, or, where products round their
// operands and rows lie on 16 bytes, as bf16 [R, V] into the first half of each row.
[[nodiscard]] TensorView gradient_of_logits(const Stream& stream, const TensorView& logits);

// Softmax cross-entropy of given logits [R, V]: losses [R]; gradient as above, or empty: not
// wanted, becomes scale * weights * (softmax - onehot). bf16 has the bits of rounding what f32
// would be. labels [R] all valid. Used per chunk by the above; the CUDA twin is the same operation.
void cross_entropy_in_place(const Stream& stream, const TensorView& logits,
                            const TensorView& labels, const TensorView& weights, double scale,
                            const TensorView& losses, const TensorView& gradient);

// The same over a part of the vocabulary, in three steps. First: statistics [R, 3] as
// VocabularyPart has them; logits [R, V] then hold what the last step needs when a gradient is
// wanted. labels [R] are relative to the part, and outside [0, V) where another rank holds the row.
void cross_entropy_statistics(const Stream& stream, const TensorView& logits,
                              const TensorView& labels, const TensorView& statistics,
                              bool want_gradient);
// Then whole [R, 3] of the whole vocabulary, from parts [t R, 3] of all t ranks in rank order.
void cross_entropy_combine(const Stream& stream, const TensorView& parts, const TensorView& whole);
// Last, with the whole vocabulary's statistics beside this rank's own: losses, and the gradient as
// above.
void cross_entropy_finish(const Stream& stream, const TensorView& logits, const TensorView& labels,
                          const TensorView& weights, double scale, const TensorView& own,
                          const TensorView& whole, const TensorView& losses,
                          const TensorView& gradient);

}  // namespace finescale
