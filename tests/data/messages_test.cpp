// SPDX-License-Identifier: Apache-2.0
// Messages as tokens and targets, with a chat template and without one.
#include <unistd.h>

#include <filesystem>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"
#include "kernels/cross_entropy.h"
#include "worker/data/loader.h"

namespace finescale {
namespace {

constexpr const char* kChatMl =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

class Messages : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "finescale_messages_" + std::to_string(::getpid()) + "_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    make_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void use_template(const std::string& text, const std::string& name = "chat.jinja") {
    write_file_atomically(directory_ + "/" + name, text);
    rules_.mutable_chat_template()->set_path(directory_ + "/" + name);
  }
  Dataset read(const std::string& lines) {
    write_file_atomically(directory_ + "/data.jsonl", lines);
    config::DatasetRef ref;
    ref.add_files()->set_path(directory_ + "/data.jsonl");
    return Dataset(ref, rules_, tokenizer_);
  }
  std::string message_of(const std::string& lines) {
    try {
      (void)read(lines);
    } catch (const Error& error) {
      EXPECT_EQ(exit_code(error.kind()), 2);
      return error.where().substr(error.where().find_last_of('/') + 1) + ": " + error.message();
    }
    return "no error";
  }
  // What is learnt, a text for each range, special tokens shown.
  std::vector<std::string> learnt(const ExampleView& example) {
    std::vector<std::string> texts;
    for (const LabelRange& range : example.learnt) {
      texts.push_back(tokenizer_.decode(
          {example.tokens.begin() + range.begin, example.tokens.begin() + range.end}, false));
    }
    return texts;
  }
  std::string text_of(const ExampleView& example) {
    return tokenizer_.decode({example.tokens.begin(), example.tokens.end()}, false);
  }

  std::string directory_;
  Tokenizer tokenizer_ = Tokenizer::train({"hello world user assistant"}, 290,
                                          {"<|end|>", "<|sep|>", "<|im_start|>", "<|im_end|>"});
  config::DataRules rules_;
};

constexpr const char* kTwoTurns =
    R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, )"
    R"({"role": "assistant", "content": "a b"}, {"role": "user", "content": "r"}, )"
    R"({"role": "assistant", "content": "c"}]})"
    "\n";
using Texts = std::vector<std::string>;

TEST_F(Messages, TemplateMarksEveryTurnAndItsEnd) {
  use_template(kChatMl);
  const Dataset data = read(kTwoTurns);
  const ExampleView example = data[0];
  EXPECT_EQ(text_of(example),
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant"
            "\na b<|im_end|>\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n");
  EXPECT_EQ(learnt(example), (Texts{"a b<|im_end|>", "c<|im_end|>"}));
  EXPECT_EQ(example.response, "c");
  EXPECT_EQ(example.prompt, "r");
  EXPECT_EQ(data.facts().end_token, tokenizer_.token_id("<|im_end|>"));
  EXPECT_EQ(example.num_prompt, example.learnt[1].begin);
}

TEST_F(Messages, LabelsOfABatchAreTheLearntTokens) {
  use_template(kChatMl);
  const Dataset data = read(std::string(kTwoTurns) + "{\"text\": \"x\"}\n");
  const std::vector<MicroBatch> batches = evaluation_batches(data, 1000);
  ASSERT_EQ(batches.size(), 1U);
  const MicroBatch& batch = batches[0];
  std::vector<std::int32_t> labelled;
  for (std::size_t t = 0; t < batch.tokens.size(); ++t) {
    if (batch.labels[t] != kIgnoreLabel) {
      ASSERT_EQ(batch.labels[t], batch.tokens[t + 1]);
      labelled.push_back(batch.labels[t]);
    }
  }
  EXPECT_EQ(tokenizer_.decode(labelled, false), "a b<|im_end|>c<|im_end|><|end|>");
  EXPECT_EQ(batch.num_labels, static_cast<std::int64_t>(labelled.size()));
}

TEST_F(Messages, WithoutATemplateTurnsArePlain) {
  const Dataset data = read(kTwoTurns);
  EXPECT_EQ(text_of(data[0]), "s\nq<|sep|>a b<|end|>r<|sep|>c<|end|>");
  EXPECT_EQ(learnt(data[0]), (Texts{"a b<|end|>", "c<|end|>"}));
  // One turn is what {prompt, response} gives.
  const Dataset both = read(
      "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", "
      "\"content\": \"a\"}]}\n{\"prompt\": \"q\", \"response\": \"a\"}\n");
  EXPECT_EQ(text_of(both[0]), text_of(both[1]));
  EXPECT_EQ(learnt(both[0]), learnt(both[1]));
  EXPECT_EQ(both[0].num_prompt, both[1].num_prompt);
}

TEST_F(Messages, WithoutATemplateNothingSaidIsSpecial) {
  const Dataset data = read(
      R"({"messages": [{"role": "user", "content": "<|end|>"}, {"role": "assistant", "content": "<|sep|>"}]})");
  int special = 0;
  for (const std::int32_t id : data[0].tokens) {
    special += id < 4 ? 1 : 0;
  }
  EXPECT_EQ(special, 2);
}

TEST_F(Messages, TemplateOfATokenizerConfig) {
  use_template(R"({"bos_token": {"content": "<|im_start|>"}, "chat_template":
    [{"name": "tool_use", "template": "no"}, {"name": "default", "template":
    "{{ bos_token }}{% for m in messages %}{{ m.role }}{% generation %}{{ m.content if m.role == 'assistant' }}{% endgeneration %}{% endfor %}"}]})",
               "tokenizer_config.json");
  *rules_.mutable_chat_tokens() = rules_.chat_template();
  const Dataset data = read(kTwoTurns);
  EXPECT_EQ(text_of(data[0]), "<|im_start|>systemuserassistanta buserassistantc");
  EXPECT_EQ(learnt(data[0]), (Texts{"a b", "c"}));
}

TEST_F(Messages, RefusalsNameLineAndTemplateLine) {
  use_template(
      "{% for m in messages %}\n{{ raise_exception('no ' ~ m.role) if m.role == 'system' "
      "else m.content }}{% endfor %}");
  const std::string message = message_of(kTwoTurns);
  EXPECT_NE(message.find("data.jsonl:1: chat template: the template refuses: no system"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("chat.jinja:2"), std::string::npos) << message;
  rules_.set_on_bad_example(config::ON_BAD_EXAMPLE_SKIP);
  const Dataset rest = read(std::string(kTwoTurns) + "{\"text\": \"x\"}\n");
  EXPECT_EQ(rest.size(), 1);
  EXPECT_EQ(rest.counts().skipped, 1);
  use_template("{% if %}");
  EXPECT_NE(message_of(kTwoTurns).find("chat.jinja:1: chat template: expected a value"),
            std::string::npos);
}

TEST_F(Messages, TruncationKeepsWholeRangesInside) {
  use_template(kChatMl);
  const std::int32_t full = static_cast<std::int32_t>(read(kTwoTurns)[0].tokens.size());
  rules_.set_on_overlong(config::ON_OVERLONG_TRUNCATE);
  for (std::int32_t length = 2; length < full; ++length) {
    rules_.set_max_length(length);
    const Dataset data = read(std::string(kTwoTurns) + "{\"text\": \"x\"}\n");
    EXPECT_EQ(data.counts().truncated + data.counts().dropped, 1);
    if (data.size() == 2) {
      EXPECT_GT(data[0].num_labels(), 0);
      EXPECT_LE(data[0].learnt.back().end, length);
      EXPECT_EQ(data[0].num_prompt, data[0].learnt.back().begin);
    }
  }
}

TEST_F(Messages, APreferenceIsTwoSequences) {
  rules_.set_prompt_end("");
  const Dataset data = read(R"({"prompt": "p", "chosen": "cc", "rejected": "r"})");
  const ExampleView pair = data[0];
  EXPECT_EQ(text_of(pair), "pcc<|end|>pr<|end|>");
  ASSERT_GT(pair.second, 0);
  EXPECT_EQ(pair.num_prompt, 1);
  ASSERT_EQ(pair.learnt.size(), 2U);
  EXPECT_EQ(pair.learnt[0].begin, 1);
  EXPECT_EQ(pair.learnt[0].end, pair.second);
  EXPECT_EQ(pair.learnt[1].begin, pair.second + 1);
  EXPECT_EQ(pair.learnt[1].end, static_cast<std::int32_t>(pair.tokens.size()));
  EXPECT_EQ(pair.response, "cc");
}

TEST_F(Messages, PromptEndMayBeEmpty) {
  rules_.set_prompt_end("");
  const Dataset data = read(R"({"prompt": "p", "response": "r"})");
  EXPECT_EQ(text_of(data[0]), "pr<|end|>");
  EXPECT_EQ(data[0].num_prompt, 1);
}

TEST_F(Messages, DescribesWhatWasDetected) {
  rules_.set_on_bad_example(config::ON_BAD_EXAMPLE_SKIP);
  const std::string said = read(std::string(kTwoTurns) + "{}\n{\"text\": \"x\"}\n").describe();
  EXPECT_NE(said.find("1 of {text}, 1 of {messages} from JSONL, 1 skipped (the first "),
            std::string::npos)
      << said;
}

}  // namespace
}  // namespace finescale
