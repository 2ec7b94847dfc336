// SPDX-License-Identifier: Apache-2.0
#include "worker/data/chat_format.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/json_depth.h"
#include "worker/data/tokenizer_file.h"

namespace finescale {

namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson parse_settings(const std::string& text, const std::string& where) {
  const bool is_deep = is_json_too_deep(text);
  OrderedJson settings = is_deep ? nullptr : OrderedJson::parse(text, nullptr, false);
  if (!settings.is_object()) {
    throw Error(ErrorKind::kConfig, is_deep ? kJsonTooDeep : "is no JSON object", where,
                "a tokenizer_config.json is expected");
  }
  return settings;
}

// "chat_template" is a text, or a list of {"name", "template"}.
std::string template_text(const OrderedJson& settings, const std::string& where) {
  const auto found = settings.find("chat_template");
  if (found != settings.end() && found->is_string()) {
    return found->get<std::string>();
  }
  if (found != settings.end() && found->is_array()) {
    for (const OrderedJson& entry : *found) {
      if (entry.is_object() && entry.value("name", OrderedJson()) == "default" &&
          entry.value("template", OrderedJson()).is_string()) {
        return entry["template"].get<std::string>();
      }
    }
  }
  throw Error(ErrorKind::kConfig, "has no \"chat_template\" text, or none called default", where,
              "give data.chat_template a file that has one");
}

}  // namespace

ChatTemplate load_chat_template(const std::string& path) {
  const std::string text = read_tokenizer_settings(path);
  return path.ends_with(".json") || path.ends_with(".gguf")
             ? ChatTemplate::parse(template_text(parse_settings(text, path), path), path)
             : ChatTemplate::parse(text, path);
}

ChatTokens named_tokens(const std::string& text, const std::string& where) {
  static constexpr std::array<const char*, 7> kNames = {
      "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
  const OrderedJson settings = parse_settings(text, where);
  ChatTokens tokens;
  for (const char* const name : kNames) {
    const OrderedJson value = settings.value(name, OrderedJson());
    const OrderedJson content = value.is_object() ? value.value("content", OrderedJson()) : value;
    if (content.is_string()) {
      tokens.named.emplace_back(name, content.get<std::string>());
    }
  }
  return tokens;
}

void add_special_tokens(const ChatTemplate& chat, const Tokenizer& tokenizer, ChatTokens& tokens) {
  for (const std::int32_t id : tokenizer.encode(chat.source())) {
    std::string text = tokenizer.decode({id}, false);
    const bool is_special = !text.empty() && tokenizer.decode({id}, true).empty();
    if (is_special &&
        std::find(tokens.special.begin(), tokens.special.end(), text) == tokens.special.end()) {
      tokens.special.push_back(std::move(text));
    }
  }
}

std::optional<ChatFormat> load_chat_format(const config::DataRules& rules,
                                           const Tokenizer& tokenizer) {
  if (!rules.has_chat_template()) {
    return std::nullopt;
  }
  ChatFormat format{load_chat_template(rules.chat_template().path()), {}};
  if (rules.has_chat_tokens()) {
    const std::string& path = rules.chat_tokens().path();
    format.tokens = named_tokens(read_tokenizer_settings(path), path);
  }
  add_special_tokens(format.chat, tokenizer, format.tokens);
  return format;
}

}  // namespace finescale
