// SPDX-License-Identifier: Apache-2.0
#include "worker/data/assistant_turn.h"

#include <algorithm>

#include "core/error.h"

namespace finescale {

namespace {

constexpr const char* kBlank = " \t\r\n";

// The end of the special token that stands at `at` behind white space; npos: none does.
std::size_t end_of_token(std::string_view text, std::size_t at, const ChatTokens& tokens) {
  at = std::min(text.find_first_not_of(kBlank, at), text.size());
  std::size_t longest = 0;
  const auto look = [&](const std::string& token) {
    if (token.size() > longest && text.substr(at).starts_with(token)) {
      longest = token.size();
    }
  };
  for (const auto& [name, token] : tokens.named) {
    look(token);
  }
  for (const std::string& token : tokens.special) {
    look(token);
  }
  return longest == 0 ? std::string_view::npos : at + longest;
}

// Behind the content comes the end token. Where the content is not found (tool calls, changed
// text), the last special token that only white space follows ends the turn.
std::size_t end_of_turn(std::string_view text, std::size_t begin, std::string_view content,
                        const ChatTokens& tokens) {
  if (const std::size_t first = content.find_first_not_of(kBlank);
      first != std::string_view::npos) {
    content = content.substr(first, content.find_last_not_of(kBlank) - first + 1);
    for (std::size_t at = text.find(content, begin); at != std::string_view::npos;
         at = text.find(content, at + 1)) {
      if (const std::size_t end = end_of_token(text, at + content.size(), tokens);
          end != std::string_view::npos) {
        return end;
      }
    }
  }
  const std::size_t last = text.find_last_not_of(kBlank);
  const std::size_t written = last == std::string_view::npos ? 0 : last + 1;
  for (std::size_t at = begin; at < written; ++at) {
    if (end_of_token(text, at, tokens) == written) {
      return written;
    }
  }
  return text.size();
}

std::string excerpt(std::string_view text, std::size_t at) {
  constexpr std::size_t kShown = 40;
  // dump() quotes and escapes; a cut character becomes a replacement.
  return nlohmann::json(text.substr(std::min(at, text.size()), kShown))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

[[noreturn]] void refuse(const std::string& what, std::string_view expected, std::string_view found,
                         std::size_t index, const std::string& where) {
  const auto differs = static_cast<std::size_t>(
      std::mismatch(expected.begin(), expected.end(), found.begin(), found.end()).first -
      expected.begin());
  throw Error(ErrorKind::kData,
              "what the assistant says in messages[" + std::to_string(index) +
                  "] cannot be told apart: " + what + " (" + excerpt(expected, differs) +
                  " against " + excerpt(found, differs) + " at byte " + std::to_string(differs) +
                  ")",
              where,
              "give data.chat_template a template with {% generation %} around what the assistant "
              "says");
}

}  // namespace

ByteRange find_turn(const TurnRenderings& renderings, const nlohmann::ordered_json& message,
                    std::size_t index, const ChatTokens& tokens, const std::string& where) {
  const auto& [before, through, whole] = renderings;
  if (!through.starts_with(before)) {
    refuse("the generation prompt is not how the turn begins", before, through, index, where);
  }
  const auto content = message.find("content");
  const std::string text = content != message.end() && content->is_string()
                               ? content->get<std::string>()
                               : std::string();
  const std::size_t end = end_of_turn(through, before.size(), text, tokens);
  const std::string_view turn = std::string_view(through).substr(0, end);
  if (!whole.starts_with(turn)) {
    refuse("the template writes the turn differently when messages follow it", turn, whole, index,
           where);
  }
  return {before.size(), end};
}

}  // namespace finescale
