// SPDX-License-Identifier: Apache-2.0
// One prompt and its answer while it is generated: which tokens have gone through the model, what
// the next one may be, and when it ends.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "worker/eval/generate.h"
#include "worker/eval/stop_strings.h"

namespace finescale {

class Sequence {
 public:
  Sequence(std::size_t index, const std::vector<std::int32_t>& prompt,
           const GenerationOptions& options, std::int64_t positions, std::int64_t vocab_size,
           const Tokenizer* tokenizer);

  [[nodiscard]] std::size_t index() const noexcept { return index_; }
  // Tokens that the model has not seen: [next_position, next_position + num_pending).
  [[nodiscard]] std::int64_t num_pending() const noexcept {
    return static_cast<std::int64_t>(tokens_.size()) - fed_;
  }
  [[nodiscard]] std::int64_t next_position() const noexcept { return fed_; }
  [[nodiscard]] std::int32_t pending(std::int64_t i) const {
    return tokens_[static_cast<std::size_t>(fed_ + i)];
  }
  void feed(std::int64_t count) noexcept { fed_ += count; }

  // From the logits after the last token, on the host; does not change the sequence.
  [[nodiscard]] std::int32_t pick(const TensorView& logits);
  // What decides about the next token beside its logits: see Sampler::choose.
  [[nodiscard]] std::span<const std::int32_t> seen() const noexcept { return seen_; }
  [[nodiscard]] double uniform() const;
  // Appends the token, unless it ends the answer. Returns text that may be shown now.
  [[nodiscard]] std::string take(std::int32_t token);
  // Set when the answer has ended.
  [[nodiscard]] const std::optional<FinishReason>& finished() const noexcept { return finished_; }
  // Ends it; returns the text that was held back.
  [[nodiscard]] std::string end(FinishReason reason);
  [[nodiscard]] Generated& answer() noexcept { return answer_; }

 private:
  void see(std::int32_t token);
  [[nodiscard]] std::string show(std::string text);

  std::size_t index_;
  const GenerationOptions* options_;
  std::int64_t positions_;
  std::vector<std::int32_t> tokens_;  // prompt and answer
  std::int64_t fed_ = 0;
  Sampler sampler_;
  std::vector<std::int32_t> seen_;  // different tokens, for the repetition penalty
  std::vector<bool> is_seen_;
  std::optional<TextStream> text_;
  StopStrings stops_;
  std::optional<FinishReason> finished_;
  Generated answer_;
};

}  // namespace finescale
