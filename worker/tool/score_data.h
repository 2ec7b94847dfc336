// SPDX-License-Identifier: Apache-2.0
// The file of `finescale score`: examples as tokens and what of them is scored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/schema/stage.pb.h"
#include "worker/data/tokenizer.h"

namespace finescale {

constexpr std::int32_t kNotScored = -100;  // as other programs write it

struct ScoredExample {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> labels;  // [ids]: the token itself, or kNotScored
};

// `tokenizer` is asked for only when the lines are text. Throws kData at file:line for what is no
// example, has an id outside the vocabulary, or is longer than max_positions.
[[nodiscard]] std::vector<ScoredExample> read_score_data(const std::string& path,
                                                         const std::string& tokenizer,
                                                         const config::DataRules& rules,
                                                         int vocab_size, int max_positions);

}  // namespace finescale
