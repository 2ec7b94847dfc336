// SPDX-License-Identifier: Apache-2.0
// The tokens that end prompts and responses: those of the data's rules, or the model's own.
#pragma once

#include <cstdint>
#include <optional>

#include "configs/schema/stage.pb.h"
#include "worker/data/tokenizer.h"

namespace finescale {

struct EndTokens {
  std::int32_t response = 0;
  std::optional<std::int32_t> prompt;  // absent: the response follows the prompt at once
};

// A tokenizer that lacks the default token of a rule belongs to a model that was trained elsewhere:
// its texts end as the model's files say, and nothing stands behind a prompt. Throws kData naming
// the rule for a token that was asked for and is not there.
[[nodiscard]] EndTokens end_tokens(const config::DataRules& rules, const Tokenizer& tokenizer);

}  // namespace finescale
