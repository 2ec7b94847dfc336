// SPDX-License-Identifier: Apache-2.0
#include "worker/data/end_tokens.h"

#include <string>

#include "core/error.h"

namespace finescale {

namespace {

Error no_token(const std::string& token, const std::string& field, const std::string& hint) {
  return {ErrorKind::kData,
          "the tokenizer has no token " + token,
          {},
          "set data." + field + " to a special token that it has" + hint};
}

std::optional<std::int32_t> model_end(const config::DataRules& rules, const Tokenizer& tokenizer) {
  if (rules.has_model_end()) {
    return tokenizer.token_id(rules.model_end());
  }
  const bool is_there = rules.has_model_end_id() && rules.model_end_id() >= 0 &&
                        rules.model_end_id() < tokenizer.vocab_size();
  return is_there ? std::optional(rules.model_end_id()) : std::nullopt;
}

}  // namespace

EndTokens end_tokens(const config::DataRules& rules, const Tokenizer& tokenizer) {
  const config::DataRules defaults;
  const std::optional<std::int32_t> own = model_end(rules, tokenizer);
  EndTokens ends;
  if (const auto response = tokenizer.token_id(rules.response_end())) {
    ends.response = *response;
  } else if (own && rules.response_end() == defaults.response_end()) {
    ends.response = *own;
  } else {
    throw no_token(rules.response_end(), "response_end",
                   rules.has_model_end() ? "; its own is " + rules.model_end() : "");
  }
  if (rules.prompt_end().empty()) {
    return ends;
  }
  ends.prompt = tokenizer.token_id(rules.prompt_end());
  if (!ends.prompt && !(own && rules.prompt_end() == defaults.prompt_end())) {
    throw no_token(rules.prompt_end(), "prompt_end", "");
  }
  return ends;
}

}  // namespace finescale
