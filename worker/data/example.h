// SPDX-License-Identifier: Apache-2.0
// An example as it is learnt from: tokens, and which of them are targets.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace finescale {

// Tokens [begin, end) are targets. The first token of an example never is: nothing predicts it.
struct LabelRange {
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

// To make a dataset of.
struct Example {
  std::vector<std::int32_t> tokens;
  std::int32_t num_prompt = 0;     // tokens that are given when an answer is asked; 0: none is
  std::vector<LabelRange> learnt;  // ascending, apart; empty: everything behind the prompt
  // Of a preference: where its second sequence, the prompt with the rejected answer, begins; 0: it
  // is none.
  std::int32_t second = 0;
  std::string prompt;  // raw text, for samples; empty for plain text
  std::string response;
  std::string problem;      // what a verifier reads, where it is not the prompt
  std::int32_t stream = 0;  // of a mixture of separate streams, from 1; 0: none
  double loss_weight = 1;   // of its tokens in the loss, or of the pair
};

// In a dataset, for as long as that lives.
struct ExampleView {
  std::span<const std::int32_t> tokens;
  std::span<const LabelRange> learnt;
  std::int32_t num_prompt = 0;
  std::int32_t second = 0;
  std::string_view prompt;
  std::string_view response;
  std::string_view problem;
  std::int32_t stream = 0;
  double loss_weight = 1;
  // What a task's verifier reads.
  [[nodiscard]] std::string_view verified_prompt() const noexcept {
    return problem.empty() ? prompt : problem;
  }
  [[nodiscard]] std::int64_t num_labels() const noexcept {
    std::int64_t count = 0;
    for (const LabelRange& range : learnt) {
      count += range.end - range.begin;
    }
    return count;
  }
};

}  // namespace finescale
