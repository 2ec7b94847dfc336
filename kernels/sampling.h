// SPDX-License-Identifier: Apache-2.0
// The next token from logits, on a GPU. What each rule removes and the order of the rules
// (repetition penalty, temperature, top-k, top-p, min-p) are those of transformers' generate.
// Letters: R rows, V vocabulary.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

struct SamplingOptions {
  double temperature = 0;         // 0: the likeliest token, and the three rules below are not used
  int top_k = 0;                  // the k likeliest and those equal to the k-th; 0: all
  double top_p = 1;               // the fewest likeliest whose probabilities reach p
  double min_p = 0;               // those with at least p times the largest probability
  double repetition_penalty = 1;  // > 1: tokens of the prompt and the answer become less likely

  [[nodiscard]] bool is_greedy() const noexcept { return temperature == 0; }
  // Of plain greedy decoding no logits are needed, only the largest.
  [[nodiscard]] bool needs_logits() const noexcept {
    return !is_greedy() || repetition_penalty != 1;
  }
};

// The different tokens of each row's sequence: row r has ids [begins[r], begins[r + 1]). i32; both
// empty without a penalty.
struct SeenTokens {
  TensorView ids;
  TensorView begins;  // [R + 1]
};

// tokens [R] i32: of each row of logits [R, V], f32 or f64, which the penalty changes. uniforms [R]
// f64 in [0, 1) decide among what is left: in the order of tokens, or with top_p < 1 the likeliest
// first. All lie in the GPU's memory; on the CPU the generator's sampler does the same, and the two
// differ only where rounding decides at a border.
void sample_rows(const Stream& stream, const SamplingOptions& options, const TensorView& logits,
                 const SeenTokens& seen, const TensorView& uniforms, const TensorView& tokens);

}  // namespace finescale
