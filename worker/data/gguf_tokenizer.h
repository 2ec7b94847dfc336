// SPDX-License-Identifier: Apache-2.0
// Tokenizers between GGUF keys and the text of a tokenizer.json: byte-level BPE ("gpt2") and
// SentencePiece's BPE with byte fallback ("llama").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/formats/gguf_keys.h"
#include "checkpoint/formats/gguf_metadata.h"

namespace finescale {

// tokenizer.ggml.token_type
enum class GgufTokenType : std::int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,  // fills the vocabulary up to the rows of the embedding
  kByte = 6,
};

// Tokens by id, validated: UTF-8, types that exist, as many scores as tokens.
struct GgufVocabulary {
  std::vector<std::string_view> tokens;  // views of the file
  std::vector<GgufTokenType> types;
  std::vector<double> scores;  // empty when the file has none

  [[nodiscard]] bool in_text(std::size_t id) const { return types[id] != GgufTokenType::kUnused; }
};

struct GgufSpecialTokens {
  std::optional<std::int64_t> bos{}, eos{}, end_of_turn{}, unknown{}, padding{};
};

// Throw kData naming the key that is missing, damaged, or says something unsupported.
[[nodiscard]] GgufVocabulary read_gguf_vocabulary(const GgufMetadata& metadata);
[[nodiscard]] GgufSpecialTokens read_gguf_special_tokens(const GgufMetadata& metadata);
[[nodiscard]] std::string tokenizer_json_from_gguf(const GgufMetadata& metadata);

// SentencePiece joins the neighbours whose joined piece scores best. Ranked merges do the same:
// every cut of every piece into two, best score first ("left right", as tokenizer.json has them).
struct PieceMerge {
  std::string_view left, right;
};
[[nodiscard]] std::vector<PieceMerge> merges_of_scores(const GgufVocabulary& vocabulary);

// The keys tokenizer.ggml.* of a model whose embedding has `vocab_size` rows. Throws kData when
// the tokenizer does something that GGUF has no word for. `where` names the tokenizer.
void add_tokenizer_keys(std::string_view tokenizer_json, const std::string& where,
                        std::int64_t vocab_size, const GgufSpecialTokens& special, GgufKeys& keys);

}  // namespace finescale
