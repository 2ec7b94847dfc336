// SPDX-License-Identifier: Apache-2.0
// A chat template: parsed, then rendered with a chat of every kind of message.
#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz_target.h"
#include "worker/data/chat_template.h"

using namespace finescale;  // NOLINT(google-build-using-namespace): a few functions

namespace {

ChatRequest make_request() {
  ChatRequest request;
  request.messages = nlohmann::ordered_json::parse(R"([
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "1+1?"}]},
    {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [
      {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 1.5}}}]},
    {"role": "tool", "name": "add", "tool_call_id": "c1", "content": "2.5"},
    {"role": "assistant", "content": "<b> caf\u00e9 \ud83d\udc69 </b>"}])");
  request.tools = nlohmann::ordered_json::parse(R"([{"type": "function", "function": {"name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}}}])");
  request.variables = nlohmann::ordered_json::parse(R"({"enable_thinking": false, "x": null})");
  request.add_generation_prompt = true;
  request.now = 1700000000;
  return request;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ChatRequest request = make_request();
  static const ChatTokens tokens{{{"bos_token", "<s>"}, {"eos_token", "</s>"}}, {"<|im_end|>"}};
  read_or_refuse([&] {
    const ChatTemplate chat = ChatTemplate::parse(fuzz_text(data, size), "chat.jinja");
    read_or_refuse([&] { (void)chat.render(request, tokens); });
    read_or_refuse([&] { (void)chat.render_with_mask(request, tokens); });
  });
  return 0;
}
