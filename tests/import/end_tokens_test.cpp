// SPDX-License-Identifier: Apache-2.0
#include "worker/data/end_tokens.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace finescale {
namespace {

Tokenizer tokenizer(const std::vector<std::string>& special) {
  return Tokenizer::train({"a b c"}, 262, special);
}

TEST(EndTokens, AreThoseOfTheRulesWhereTheTokenizerHasThem) {
  config::DataRules rules;
  rules.set_model_end("<eos>");
  const Tokenizer own = tokenizer({"<eos>", "<|end|>", "<|sep|>"});
  EXPECT_EQ(end_tokens(rules, own).response, 1);
  EXPECT_EQ(end_tokens(rules, own).prompt, 2);
}

TEST(EndTokens, AreTheModelsOwnWhereTheDefaultIsMissing) {
  config::DataRules rules;
  const Tokenizer own = tokenizer({"<eos>"});
  EXPECT_THROW((void)end_tokens(rules, own), Error);
  rules.set_model_end_id(0);
  EXPECT_EQ(end_tokens(rules, own).response, 0);
  EXPECT_FALSE(end_tokens(rules, own).prompt);
  rules.set_model_end("<eos>");
  EXPECT_EQ(end_tokens(rules, own).response, 0);
  rules.set_model_end("<other>");
  EXPECT_THROW((void)end_tokens(rules, own), Error);
  rules.clear_model_end();
  rules.set_model_end_id(9999);
  EXPECT_THROW((void)end_tokens(rules, own), Error);
}

TEST(EndTokens, RefuseATokenThatWasAskedForAndIsMissing) {
  config::DataRules rules;
  rules.set_model_end("<eos>");
  const Tokenizer own = tokenizer({"<eos>"});
  rules.set_response_end("<stop>");
  EXPECT_THROW((void)end_tokens(rules, own), Error);
  rules.clear_response_end();
  rules.set_prompt_end("<stop>");
  EXPECT_THROW((void)end_tokens(rules, own), Error);
}

}  // namespace
}  // namespace finescale
