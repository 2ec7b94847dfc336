// SPDX-License-Identifier: Apache-2.0
#include "worker/data/chat_encoder.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

// strftime_now in data: the same text on every day. Noon in UTC of 2024-07-26, the date that
// published templates fall back to.
constexpr std::time_t kDataTime = 1721995200;

std::string content_text(const nlohmann::ordered_json& message, std::size_t index) {
  const auto content = message.find("content");
  if (content == message.end() || !content->is_string()) {
    throw BadExample{"messages[" + std::to_string(index) +
                     "]: \"content\" must be a string where there is no chat template "
                     "(data.chat_template)"};
  }
  return content->get<std::string>();
}

bool is_assistant(const nlohmann::ordered_json& message) {
  return message["role"] == "assistant";
}

std::size_t last_turn(const nlohmann::ordered_json& messages) {
  std::size_t last = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    last = is_assistant(messages[i]) ? i : last;
  }
  return last;
}

}  // namespace

Example encode_plain_turns(const RawExample& raw, const Tokenizer& tokenizer,
                           const TurnTokens& tokens) {
  Example example;
  example.tokens = tokens.start;
  std::string asked;
  const auto append = [&](const std::string& text, std::int32_t end) {
    const std::vector<std::int32_t> ids = tokenizer.encode_ordinary(text);
    example.tokens.insert(example.tokens.end(), ids.begin(), ids.end());
    if (end >= 0) {
      example.tokens.push_back(end);
    }
    return static_cast<std::int32_t>(example.tokens.size());
  };
  for (std::size_t i = 0; i < raw.messages.size(); ++i) {
    const std::string content = content_text(raw.messages[i], i);
    if (!is_assistant(raw.messages[i])) {
      asked += (asked.empty() ? "" : "\n") + content;
      continue;
    }
    if (content.empty()) {
      throw BadExample{"messages[" + std::to_string(i) + "] is empty: nothing to learn"};
    }
    const std::int32_t begin = append(asked, tokens.prompt_end);
    example.learnt.push_back({begin, append(content, tokens.response_end)});
    example.num_prompt = begin;
    example.prompt = std::exchange(asked, {});
    example.response = content;
  }
  return example;
}

ChatEncoder::ChatEncoder(ChatFormat format, const Tokenizer& tokenizer)
    : format_(std::move(format)), tokenizer_(tokenizer), line_end_(tokenizer.encode("\n")) {
  // Tokenizers with a prefix space put it in front of "x", not behind a line end.
  std::vector<std::int32_t> behind = tokenizer.encode("\nx");
  std::vector<std::int32_t> expected = line_end_;
  const std::vector<std::int32_t> alone = tokenizer.encode("x");
  expected.insert(expected.end(), alone.begin(), alone.end());
  adds_prefix_ = behind != expected;
}

void ChatEncoder::append(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (!ids.empty() && adds_prefix_) {
    const std::vector<std::int32_t> behind = tokenizer_.encode("\n" + std::string(text));
    if (behind.size() >= line_end_.size() &&
        std::equal(line_end_.begin(), line_end_.end(), behind.begin())) {
      ids.insert(ids.end(), behind.begin() + static_cast<std::ptrdiff_t>(line_end_.size()),
                 behind.end());
      return;
    }
  }
  const std::vector<std::int32_t> own = tokenizer_.encode(text);
  ids.insert(ids.end(), own.begin(), own.end());
}

Example ChatEncoder::encode(const RawExample& raw) const {
  RenderedChat chat;
  try {
    ChatRequest request;
    request.messages = raw.messages;
    request.tools = raw.tools;
    request.now = kDataTime;
    chat = format_.chat.render_with_mask(request, format_.tokens);
  } catch (const Error& error) {
    throw BadExample{error.message() + (error.where().empty() ? "" : " (" + error.where() + ")") +
                     (error.hint().empty() ? "" : "; " + error.hint())};
  }
  if (chat.learnt.empty()) {
    throw BadExample{"the chat template writes nothing that is to be learnt"};
  }
  const std::string_view text = chat.text;
  Example example;
  std::size_t at = 0;
  for (const ByteRange& range : chat.learnt) {
    append(text.substr(at, range.begin - at), example.tokens);
    const auto begin = static_cast<std::int32_t>(example.tokens.size());
    append(text.substr(range.begin, range.end - range.begin), example.tokens);
    example.learnt.push_back({begin, static_cast<std::int32_t>(example.tokens.size())});
    at = range.end;
  }
  append(text.substr(at), example.tokens);
  const LabelRange& answer = example.learnt.back();
  example.num_prompt = answer.begin;
  // As the answer's ids read, so that an equal answer has an equal text.
  example.response = tokenizer_.decode(
      {example.tokens.begin() + answer.begin, example.tokens.begin() + answer.end}, true);
  const std::size_t turn = last_turn(raw.messages);
  if (turn > 0 && raw.messages[turn - 1].value("content", nlohmann::ordered_json()).is_string()) {
    example.prompt = raw.messages[turn - 1]["content"].get<std::string>();
  }
  return example;
}

}  // namespace finescale
