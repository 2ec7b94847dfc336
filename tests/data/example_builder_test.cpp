// SPDX-License-Identifier: Apache-2.0
#include "worker/data/example_builder.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace finescale {
namespace {

// Trained here, but its texts begin with <|end|>, as models that want a BOS say it.
Tokenizer with_start() {
  const Tokenizer plain = Tokenizer::train({"abc abd abe"}, 262, {"<|end|>", "<|sep|>"});
  nlohmann::json json = nlohmann::json::parse(plain.to_json());
  json["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single",
       {{{"SpecialToken", {{"id", "<|end|>"}, {"type_id", 0}}}},
        {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
      {"pair", nlohmann::json::array()},
      {"special_tokens",
       {{"<|end|>", {{"id", "<|end|>"}, {"ids", {0}}, {"tokens", {"<|end|>"}}}}}}};
  return Tokenizer::from_json(json.dump(), "start");
}

std::vector<std::int32_t> tokens_of(const Tokenizer& tokenizer, const RawExample& raw,
                                    std::int32_t* num_prompt) {
  const config::DataRules rules;
  ExampleBuilder builder(rules, tokenizer);
  DatasetCounts counts;
  const auto example = builder.build(raw, "here", counts);
  *num_prompt = example->num_prompt;
  return example->tokens;
}

TEST(ExampleBuilder, ExamplesBeginAsTheTokenizerBeginsTexts) {
  const Tokenizer tokenizer = with_start();
  const Tokenizer plain = Tokenizer::train({"abc abd abe"}, 262, {"<|end|>", "<|sep|>"});
  EXPECT_EQ(tokenizer.start_tokens(), std::vector<std::int32_t>{0});
  EXPECT_TRUE(plain.start_tokens().empty());
  RawExample pair;
  pair.form = ExampleForm::kPromptResponse;
  pair.prompt = "ab";
  pair.response = "c";
  RawExample text;
  text.form = ExampleForm::kText;
  text.response = "abc";
  RawExample chat;
  chat.form = ExampleForm::kMessages;
  chat.messages = nlohmann::ordered_json::parse(
      R"([{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}])");
  for (const RawExample& raw : {pair, text, chat}) {
    std::int32_t with_prompt = 0;
    std::int32_t without_prompt = 0;
    const auto with = tokens_of(tokenizer, raw, &with_prompt);
    auto without = tokens_of(plain, raw, &without_prompt);
    without.insert(without.begin(), 0);
    EXPECT_EQ(with, without);
    EXPECT_EQ(with_prompt, without_prompt + (raw.form == ExampleForm::kText ? 0 : 1));
  }
}

}  // namespace
}  // namespace finescale
