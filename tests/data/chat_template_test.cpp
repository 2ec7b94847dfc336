// SPDX-License-Identifier: Apache-2.0
// Chat templates against what the reference implementation made of the same chats. The fixtures are
// made by make_cases.py, which also renders the templates of installed packages when there are any.
#include "worker/data/chat_template.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

using Json = nlohmann::ordered_json;

std::string folder() {
  return std::string(FINESCALE_SOURCE_DIR) + "/tests/data/chat";
}

ChatTokens tokens_of(const Json& document) {
  ChatTokens tokens;
  for (const auto& [name, text] : document.at("tokens").items()) {
    tokens.named.emplace_back(name, text.get<std::string>());
  }
  tokens.special = {"<|im_end|>", "<|end|>", "<|eot_id|>", "<end_of_turn>",
                    "<|END_OF_TURN_TOKEN|>"};
  return tokens;
}

ChatRequest request_of(const Json& document, const Json& chat) {
  ChatRequest request;
  request.messages = chat.at("messages");
  request.tools = chat.value("tools", Json());
  request.variables = chat.value("variables", Json());
  request.add_generation_prompt = chat.value("prompt", false);
  request.now = document.at("now").get<std::time_t>();
  return request;
}

// One case: the same text and generation blocks, or a refusal by both.
void check(const Json& document, const Json& item, const std::string& source) {
  const std::string name = item.at("template").get<std::string>();
  const std::string title = item.at("chat").get<std::string>();
  SCOPED_TRACE(name + " / " + title);
  const Json& chat = document.at("chats").at(title);
  try {
    const ChatTemplate parsed = ChatTemplate::parse(source, name);
    const ChatRequest request = request_of(document, chat);
    const ChatTokens tokens = tokens_of(document);
    const std::string text = parsed.render(request, tokens);
    ASSERT_TRUE(item.contains("text")) << "the reference refuses: " << item.at("error");
    ASSERT_EQ(text, item.at("text").get<std::string>());
    if (parsed.has_generation() && item.contains("ranges")) {
      Json ranges = Json::array();
      for (const ByteRange& range : parsed.render_with_mask(request, tokens).learnt) {
        ranges.push_back({range.begin, range.end});
      }
      EXPECT_EQ(ranges, item.at("ranges"));
    }
  } catch (const Error& error) {
    EXPECT_TRUE(item.contains("error")) << describe(error);
  }
}

class ReferenceTime : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
};
using ChatTemplateReference = ReferenceTime;

TEST_F(ChatTemplateReference, RendersAsTheReference) {
  const Json document = Json::parse(read_file(folder() + "/cases.json"));
  for (const Json& item : document.at("cases")) {
    check(document, item,
          read_file(folder() + "/templates/" + item.at("template").get<std::string>() + ".jinja"));
  }
  EXPECT_GT(document.at("cases").size(), 200U);
}

TEST_F(ChatTemplateReference, SingleConstructsAsTheReference) {
  const Json document = Json::parse(read_file(folder() + "/snippets.json"));
  std::vector<std::pair<std::string, jinja::Value>> variables;
  for (const auto& [name, value] : document.at("variables").items()) {
    variables.emplace_back(name, jinja::from_json(value));
  }
  for (const Json& item : document.at("cases")) {
    SCOPED_TRACE(item.at("template"));
    try {
      const jinja::Template parsed(item.at("template").get<std::string>(), "snippet");
      jinja::Template::Options options;
      options.now = document.at("now").get<std::time_t>();
      const std::string text = parsed.render(variables, options).text;
      ASSERT_TRUE(item.contains("text")) << text << "; the reference: " << item.at("error");
      EXPECT_EQ(text, item.at("text").get<std::string>());
    } catch (const Error& error) {
      EXPECT_TRUE(item.contains("error")) << describe(error);
    }
  }
}

// What a command prints; its exit code is put into *code.
std::string output_of(const std::string& command, int* code) {
  std::string out;
  FILE* const pipe = ::popen(command.c_str(), "r");
  std::array<char, 65536> buffer{};
  for (std::size_t size = 1; size > 0;) {
    size = std::fread(buffer.data(), 1, buffer.size(), pipe);
    out.append(buffer.data(), size);
  }
  *code = WEXITSTATUS(::pclose(pipe));
  return out;
}

TEST_F(ChatTemplateReference, PublishedTemplatesOfInstalledPackages) {
  const char* given = std::getenv("FINESCALE_PYTHON");
  const std::string python = given != nullptr ? given : "python3";
  int code = 0;
  const std::string made =
      output_of(python + " " + folder() + "/make_cases.py --published 2>/dev/null", &code);
  if (code != 0) {
    GTEST_SKIP() << python << " has no transformers or no package with chat templates (trl); "
                 << "FINESCALE_PYTHON names another interpreter";
  }
  const Json document = Json::parse(made);
  for (const Json& item : document.at("cases")) {
    check(document, item,
          document.at("templates").at(item.at("template").get<std::string>()).get<std::string>());
  }
  RecordProperty("cases", static_cast<int>(document.at("cases").size()));
}

// What the mask covers, one text a turn.
std::vector<std::string> learnt(const std::string& name, const Json& messages,
                                const Json& tools = Json()) {
  const ChatTemplate parsed =
      ChatTemplate::parse(read_file(folder() + "/templates/" + name + ".jinja"), name);
  ChatTokens tokens;
  tokens.named = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  tokens.special = {"<|im_end|>", "<|end|>", "<|eot_id|>", "<end_of_turn>"};
  ChatRequest request;
  request.messages = messages;
  request.tools = tools;
  request.now = 0;
  const RenderedChat chat = parsed.render_with_mask(request, tokens);
  std::vector<std::string> turns;
  for (const ByteRange& range : chat.learnt) {
    turns.push_back(chat.text.substr(range.begin, range.end - range.begin));
  }
  return turns;
}

using Turns = std::vector<std::string>;

TEST(AssistantMask, CoversContentAndEndTokenOnly) {
  const Json chat = Json::parse(R"([{"role": "user", "content": "q"},
    {"role": "assistant", "content": "end"}, {"role": "user", "content": "r"},
    {"role": "assistant", "content": " two\n"}])");
  EXPECT_EQ(learnt("chatml", chat), (Turns{"end<|im_end|>", " two\n<|im_end|>"}));
  EXPECT_EQ(learnt("smollm2", chat), (Turns{"end<|im_end|>", " two\n<|im_end|>"}));
  EXPECT_EQ(learnt("phi3", chat), (Turns{"end<|end|>", " two\n<|end|>"}));
  EXPECT_EQ(learnt("phi4", chat), (Turns{"end<|im_end|>", " two\n<|im_end|>"}));
  EXPECT_EQ(learnt("mistral_v1", chat), (Turns{"end</s>", " two\n</s>"}));
  EXPECT_EQ(learnt("mistral_v3", chat), (Turns{" end</s>", " two</s>"}));
  EXPECT_EQ(learnt("own_llama2", chat), (Turns{" end </s>", " two </s>"}));
  EXPECT_EQ(learnt("own_llama3_tools", chat), (Turns{"end<|eot_id|>", "two<|eot_id|>"}));
  EXPECT_EQ(learnt("own_gemma", chat), (Turns{"end<end_of_turn>", "two<end_of_turn>"}));
  EXPECT_EQ(learnt("own_generation", chat), (Turns{"end<|im_end|>", " two\n<|im_end|>"}));
}

TEST(AssistantMask, CoversToolCalls) {
  const Json chat = Json::parse(R"([{"role": "user", "content": "q"},
    {"role": "assistant", "content": "", "tool_calls": [{"type": "function",
      "function": {"name": "f", "arguments": {"x": 1}}}]},
    {"role": "tool", "content": "3"}, {"role": "assistant", "content": "three"}])");
  const Json tools = Json::parse(R"([{"type": "function", "function": {"name": "f"}}])");
  EXPECT_EQ(learnt("qwen2_5", chat, tools),
            (Turns{"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>"
                   "<|im_end|>",
                   "three<|im_end|>"}));
}

TEST(AssistantMask, RefusesWhatIsNoBeginning) {
  const Json chat = Json::parse(R"([{"role": "user", "content": "q"},
    {"role": "assistant", "content": "a"}, {"role": "user", "content": "r"},
    {"role": "assistant", "content": "b"}])");
  for (const char* const name : {"qwen3", "deepseek_r1"}) {
    try {
      (void)learnt(name, chat);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_NE(error.message().find("messages[1]"), std::string::npos) << error.message();
      EXPECT_NE(error.hint().find("{% generation %}"), std::string::npos);
    }
  }
  // One turn of Qwen3 is a beginning: its empty thoughts are learnt with it.
  const Json one = Json::parse(R"([{"role": "user", "content": "q"},
    {"role": "assistant", "content": "a"}])");
  EXPECT_EQ(learnt("qwen3", one), (Turns{"<think>\n\n</think>\n\na<|im_end|>"}));
}

std::string message_of(const std::string& source) {
  try {
    const jinja::Template parsed(source, "t.jinja");
    (void)parsed.render({}, {});
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2);
    return error.where() + ": " + error.message();
  }
  return "no error";
}

TEST(ChatTemplate, ErrorsNameTheLine) {
  EXPECT_EQ(message_of("a\n{% if x %}\n{{ y.z }}{% endif %}\n{{ y.z }}"),
            "t.jinja:4: chat template: 'y' is undefined");
  EXPECT_EQ(message_of("a\n\n{{ raise_exception('no system role') }}"),
            "t.jinja:3: chat template: the template refuses: no system role");
  EXPECT_EQ(message_of("{% for a in b %}\n{% if c %}\n{% endfor %}"),
            "t.jinja:2: chat template: the block that begins here has no {% endif %}: {% endfor %} "
            "comes first");
  EXPECT_EQ(message_of("\n{{ 1 +\n }}"), "t.jinja:3: chat template: expected a value, found '}}'");
  EXPECT_EQ(message_of("{% include 'x' %}"),
            "t.jinja:1: chat template: {% include %} is not supported in a chat template");
  EXPECT_EQ(message_of("\xFF"), "t.jinja:1: chat template: the template is not UTF-8");
}

TEST(ChatTemplate, HostileTemplatesEndSoon) {
  const std::vector<std::pair<std::string, std::string>> hostile = {
      {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "deep in each other"},
      {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
       "more than"},
      {"{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor "
       "%}",
       "more than"},
      {"{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor "
       "%}{{ n.x }}",
       "bytes"},
      {"{% set n = namespace(x=[1]) %}{% for i in range(200) %}{% set n.x = [n.x] %}{% endfor %}",
       "deep in each other"},
      {"{{ 'a' * 99999999999 }}", "bytes"},
      {"{{ 'aaaa' * 9999999 * 9999999 }}", "more than"},
      {"{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}", ""},
      {"{{ range(10 ** 9) }}", "range"},
      {"{{ 9 ** 99 }}", "64 bits"},
      {"{{ 'a'.replace('', 'b' * 1000000).replace('', 'b' * 1000000) }}", "bytes"},
      {"{{ strftime_now('%99999999d') }}", "too long"},
      {"{{ '%999999999s' % 1 }}", "width"},
      {std::string(100000, '('), ""},
      {"{{" + std::string(100000, '[') + "}}", ""},
      {"{{ 1" +
           [] {
             std::string s;
             for (int i = 0; i < 50000; ++i) {
               s += "+1";
             }
             return s;
           }() +
           "}}",
       "operations"},
      {"{{ " +
           [] {
             std::string s;
             for (int i = 0; i < 50000; ++i) {
               s += "not ";
             }
             return s;
           }() +
           "1 }}",
       "deep in each other"},
      {[] {
         std::string s;
         for (int i = 0; i < 50000; ++i) {
           s += "{% if 1 %}";
         }
         return s;
       }(),
       "deep in each other"}};
  for (const auto& [source, wanted] : hostile) {
    if (source.front() == '(') {
      continue;  // plain text
    }
    EXPECT_NE(message_of(source).find(wanted), std::string::npos)
        << source.substr(0, 80) << ": " << message_of(source);
    EXPECT_NE(message_of(source), "no error") << source.substr(0, 80);
  }
}

TEST(ChatTemplate, NamespacesInACircleAreFreed) {
  const jinja::Template parsed(
      "{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = [b] %}{% macro f() %}x"
      "{% endmacro %}{% set a.f = f %}{{ a.f() }}{{ a.b[0].a.b | length }}",
      "t");
  EXPECT_EQ(parsed.render({}, {}).text, "x1");
}

}  // namespace
}  // namespace finescale
