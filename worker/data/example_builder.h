// SPDX-License-Identifier: Apache-2.0
// Raw examples to tokens under the rules of a stage: which tokens end what, what is too long.
#pragma once

#include <optional>
#include <string>

#include "configs/schema/stage.pb.h"
#include "worker/data/chat_encoder.h"
#include "worker/data/raw_example.h"

namespace finescale {

struct DatasetCounts {
  std::int64_t read = 0;
  std::int64_t skipped = 0;    // on_bad_example: skip
  std::int64_t truncated = 0;  // on_overlong: truncate
  std::int64_t dropped = 0;    // on_overlong: drop, or no target is left
};

class ExampleBuilder {
 public:
  ExampleBuilder(const config::DataRules& rules, const Tokenizer& tokenizer);

  // Nothing when the example is dropped. Throws kData at `where`, kConfig for a chat template that
  // cannot be used; BadExample for what a chat template refuses.
  [[nodiscard]] std::optional<Example> build(const RawExample& raw, const std::string& where,
                                             DatasetCounts& counts);
  // What ends an answer; -1 as long as nothing was built.
  [[nodiscard]] std::int32_t end_token() const noexcept { return end_token_; }

 private:
  [[nodiscard]] const TurnTokens& turn_tokens();
  [[nodiscard]] Example encode(const RawExample& raw);
  [[nodiscard]] Example encode_messages(const RawExample& raw);
  [[nodiscard]] Example encode_preference(const RawExample& raw);
  [[nodiscard]] bool shorten(Example& example) const;
  [[nodiscard]] bool shorten_pair(Example& example) const;
  [[nodiscard]] std::int64_t longest(const Example& example) const;
  const config::DataRules& rules_;
  const Tokenizer& tokenizer_;
  // The template is read when the first chat needs it: that of base.model may never be used.
  bool knows_template_ = false;
  std::optional<ChatEncoder> chat_;
  std::optional<TurnTokens> turn_tokens_;  // looked up when the first example needs them
  std::int32_t end_token_ = -1;
};

}  // namespace finescale
