// SPDX-License-Identifier: Apache-2.0
// A model's chat template: a list of messages as the text that the model was trained on, and which
// of it the assistant says. Rendered as transformers' apply_chat_template does. Parsed once, used
// from any thread.
#pragma once

#include <cstddef>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "worker/data/jinja/template.h"

namespace finescale {

struct ChatTokens {
  // What the template finds under a name: {"bos_token", "<s>"}, {"eos_token", "</s>"}, ...
  std::vector<std::pair<std::string, std::string>> named;
  // Texts of the special tokens that may end a turn; the named ones are taken too.
  std::vector<std::string> special;
};

// NOLINTNEXTLINE(bugprone-exception-escape): a json moves by noexcept; what it asserts may throw
struct ChatRequest {
  nlohmann::ordered_json messages;   // [{"role", "content", ...}]
  nlohmann::ordered_json tools;      // null: none
  nlohmann::ordered_json variables;  // more names of the template: {"enable_thinking": false}
  bool add_generation_prompt = false;
  std::optional<std::time_t> now;  // what strftime_now reads; none: the clock
};

// Bytes [begin, end) of a text.
using ByteRange = jinja::TextRange;

struct RenderedChat {
  std::string text;
  std::vector<ByteRange> learnt;  // ascending, apart: what the assistant says with its end token
};

class ChatTemplate {
 public:
  // Throws kConfig with the template's line.
  static ChatTemplate parse(std::string_view text, const std::string& where);

  // Throws kData with the template's line.
  [[nodiscard]] std::string render(const ChatRequest& request, const ChatTokens& tokens) const;
  // The whole chat, and what is to be learnt of it: what {% generation %} blocks write if the
  // template has them. Otherwise turn k is what messages[:k+1] has more than messages[:k] with the
  // generation prompt, up to its end token (without one: all of it); throws kData when one is no
  // beginning of the other, or the turn is written differently once messages follow it.
  [[nodiscard]] RenderedChat render_with_mask(const ChatRequest& request,
                                              const ChatTokens& tokens) const;
  [[nodiscard]] bool has_generation() const noexcept { return template_.has_generation(); }
  [[nodiscard]] const std::string& source() const noexcept { return source_; }

 private:
  ChatTemplate(std::string_view text, const std::string& where);
  jinja::Template template_;
  std::string source_;
  std::string where_;
};

}  // namespace finescale
