// SPDX-License-Identifier: Apache-2.0
#include "worker/data/chat_template.h"

#include <array>

#include "core/error.h"
#include "worker/data/assistant_turn.h"

namespace finescale {

namespace {

using OrderedJson = nlohmann::ordered_json;
using Variables = std::vector<std::pair<std::string, jinja::Value>>;

// Reasoning is passed under several names; templates read the first, some the second.
constexpr std::array<const char*, 3> kReasoning = {"reasoning_content", "thinking", "reasoning"};

// A message as templates see it: keys that are null are left out.
OrderedJson plain_message(const OrderedJson& message) {
  if (!message.is_object()) {
    throw Error(ErrorKind::kData, std::string("a message is ") + message.type_name() +
                                      ", must be an object {\"role\", \"content\"}");
  }
  OrderedJson out = OrderedJson::object();
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) {
      out[key] = value;
    }
  }
  for (const char* const name : kReasoning) {
    if (out.contains(name)) {
      const OrderedJson reasoning = out[name];
      out["reasoning_content"] = reasoning;
      if (!out.contains("thinking")) {
        out["thinking"] = reasoning;
      }
      break;
    }
  }
  return out;
}

OrderedJson plain_messages(const OrderedJson& messages) {
  if (!messages.is_array()) {
    throw Error(ErrorKind::kData,
                std::string("\"messages\" is ") + messages.type_name() + ", must be a list");
  }
  OrderedJson out = OrderedJson::array();
  for (const OrderedJson& message : messages) {
    out.push_back(plain_message(message));
  }
  return out;
}

jinja::Value value_of(const OrderedJson& json, const char* what) {
  try {
    return jinja::from_json(json);
  } catch (const jinja::Fault& fault) {
    throw Error(ErrorKind::kData, std::string(what) + ": " + fault.message);
  }
}

// All but the messages and the generation prompt, which come first.
Variables make_variables(const ChatRequest& request, const ChatTokens& tokens) {
  Variables out = {{"messages", jinja::Value()},
                   {"add_generation_prompt", request.add_generation_prompt},
                   {"tools", value_of(request.tools, "\"tools\"")},
                   {"documents", jinja::None{}}};
  if (request.variables.is_object()) {
    for (const auto& [name, value] : request.variables.items()) {
      out.emplace_back(name, value_of(value, "a variable of the chat template"));
    }
  }
  for (const auto& [name, text] : tokens.named) {
    out.emplace_back(name, jinja::Value(text));
  }
  return out;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view text, const std::string& where)
    : template_(text, where), source_(text), where_(where) {}

ChatTemplate ChatTemplate::parse(std::string_view text, const std::string& where) {
  return {text, where};
}

std::string ChatTemplate::render(const ChatRequest& request, const ChatTokens& tokens) const {
  Variables variables = make_variables(request, tokens);
  variables[0].second = value_of(plain_messages(request.messages), "\"messages\"");
  return template_.render(variables, {.now = request.now, .wants_ranges = false, .limits = {}})
      .text;
}

RenderedChat ChatTemplate::render_with_mask(const ChatRequest& request,
                                            const ChatTokens& tokens) const {
  Variables variables = make_variables(request, tokens);
  const OrderedJson messages = plain_messages(request.messages);
  const auto render_first = [&](std::size_t count, bool prompt) {
    const OrderedJson first(messages.begin(),
                            messages.begin() + static_cast<std::ptrdiff_t>(count));
    variables[0].second =
        value_of(count == 0 ? OrderedJson::array() : OrderedJson(first), "\"messages\"");
    variables[1].second = prompt;
    return template_.render(variables, {.now = request.now, .wants_ranges = true, .limits = {}});
  };
  jinja::Rendering whole = render_first(messages.size(), request.add_generation_prompt);
  RenderedChat out{std::move(whole.text), std::move(whole.generated)};
  if (template_.has_generation()) {
    std::erase_if(out.learnt, [](const ByteRange& range) { return range.begin == range.end; });
    return out;
  }
  for (std::size_t k = 0; k < messages.size(); ++k) {
    if (messages[k].value("role", "") == "assistant") {
      const std::string before = render_first(k, true).text;
      const std::string through = render_first(k + 1, false).text;
      out.learnt.push_back(find_turn({before, through, out.text}, messages[k], k, tokens, where_));
    }
  }
  return out;
}

}  // namespace finescale
