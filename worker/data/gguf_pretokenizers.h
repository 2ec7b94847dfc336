// SPDX-License-Identifier: Apache-2.0
// How tokenizers of byte-level BPE cut text, by the names that GGUF files use (tokenizer.ggml.pre).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace finescale {

struct GgufPreTokenizer {
  std::vector<std::string_view> names;  // the first is written
  std::string_view pattern{};           // empty: the pattern of GPT-2, built into ByteLevel
  bool digits = false;                  // every digit is cut out alone, first
  bool nfc = false;                     // text is normalised before
  bool ignore_merges = false;           // a piece that is a token needs no merges
  bool add_bos = false;                 // where the file does not say
};

// Null when the name is not known.
[[nodiscard]] const GgufPreTokenizer* find_pre_tokenizer(std::string_view name);
// The one whose cuts are those of tokenizer.json's `pre_tokenizer`; null when none is.
[[nodiscard]] const GgufPreTokenizer* match_pre_tokenizer(const nlohmann::json& pre_tokenizer);
[[nodiscard]] std::string pre_tokenizer_names();  // for messages

// tokenizer.json's `pre_tokenizer` and `normalizer`.
[[nodiscard]] nlohmann::json pre_tokenizer_json(const GgufPreTokenizer& pre);
[[nodiscard]] nlohmann::json normalizer_json(const GgufPreTokenizer& pre);

}  // namespace finescale
