// SPDX-License-Identifier: Apache-2.0
// How far the next token's distribution is from a teacher's, over chunks of rows as the head and
// its likelihood are made (kernels/cross_entropy.h). z: logits of the model, u: of the teacher, V
// vocabulary, p = softmax(z / temperature), q = softmax(u / temperature).
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// The loss of a token: weight temperature^2 KL + (1 - weight) * -log softmax(z)[label]; KL(q || p),
// or reversed KL(p || q) (Hinton et al. 2015: the square keeps gradients of one size).
struct DivergenceRule {
  bool is_reversed = false;
  double temperature = 1;
  double weight = 1;
};

// What the logits of the teacher are made of. The head may be of another width than the model's.
struct TeacherRows {
  DivergenceRule rule;
  TensorView x;        // [S, C'] of the tokens with a label, in their order
  TensorView weight;   // [V, C'], a part of the vocabulary as the model's head is
  TensorView bias;     // [V], empty: none
  TensorView scratch;  // [chunk, V]
};

// By row: largest z, sum of exp(z - largest), z of the label (0 outside the part), sum of exp((z -
// largest) / temperature), largest u, the same sum of u, and the sum of exp times the difference of
// both exponents, which the divergence follows from.
constexpr std::int64_t kDivergenceStatistics = 7;

// statistics [R, 7] of logits and teacher [R, V], all or a part of the vocabulary. labels [R] i32
// relative to the part.
void divergence_statistics(const Stream& stream, const DivergenceRule& rule,
                           const TensorView& logits, const TensorView& teacher,
                           const TensorView& labels, const TensorView& statistics);
// whole [R, 7] of the whole vocabulary, from parts [t R, 7] of all t ranks in rank order. On the
// host.
void divergence_combine(const DivergenceRule& rule, const TensorView& parts,
                        const TensorView& whole);
// With the statistics of the whole vocabulary: losses [R], times weights [R] (empty: ones), and
// logits become the gradient of scale x that when wanted. The teacher's stay.
void divergence_finish(const Stream& stream, const DivergenceRule& rule, const TensorView& logits,
                       const TensorView& teacher, const TensorView& labels,
                       const TensorView& weights, double scale, const TensorView& statistics,
                       const TensorView& losses, bool want_gradient);

}  // namespace finescale
