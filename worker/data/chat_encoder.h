// SPDX-License-Identifier: Apache-2.0
// Messages as tokens and targets: by a chat template, or without one as plain turns.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "worker/data/chat_format.h"
#include "worker/data/example.h"
#include "worker/data/raw_example.h"

namespace finescale {

// Special tokens around prompts and responses; -1: there is no prompt end.
struct TurnTokens {
  std::vector<std::int32_t> start;  // in front of everything
  std::int32_t prompt_end = -1;
  std::int32_t response_end = -1;
};

// start prompt prompt_end response response_end, where prompt is what other roles say, joined by
// line ends; again for each turn of the assistant. What is said never becomes a special token.
[[nodiscard]] Example encode_plain_turns(const RawExample& raw, const Tokenizer& tokenizer,
                                         const TurnTokens& tokens);

class ChatEncoder {
 public:
  ChatEncoder(ChatFormat format, const Tokenizer& tokenizer);

  // The rendered chat, cut at the borders of what is learnt so that no token spans them: the ids
  // in front of an answer are those of its prompt when it is asked. Throws BadExample for what the
  // template refuses.
  [[nodiscard]] Example encode(const RawExample& raw) const;

 private:
  void append(std::string_view text, std::vector<std::int32_t>& ids) const;
  ChatFormat format_;
  const Tokenizer& tokenizer_;
  std::vector<std::int32_t> line_end_;  // ids of "\n"
  bool adds_prefix_ = false;            // a text begins with a space that is not there
};

}  // namespace finescale
