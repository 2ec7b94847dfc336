// SPDX-License-Identifier: Apache-2.0
// The model of a tokenizer: ids of one piece of text. Kinds: BPE, Unigram, WordPiece. Use from one
// thread at a time: it remembers pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "worker/data/tokenizers/json_node.h"
#include "worker/data/tokenizers/piece_cache.h"
#include "worker/data/tokenizers/token_table.h"

namespace finescale {

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the ids of a piece. Throws kData where a character is unknown and no id stands for it.
  virtual void tokenize(std::string_view piece, std::vector<std::int32_t>& out) const {
    cached(piece, out);
  }
  [[nodiscard]] const TokenTable& tokens() const noexcept { return tokens_; }
  // Entries of the vocabulary as the file lists them; new added tokens are numbered from here.
  [[nodiscard]] std::size_t num_entries() const noexcept { return num_entries_; }

 protected:
  virtual void make_ids(std::string_view piece, std::vector<std::int32_t>& out) const = 0;
  void cached(std::string_view piece, std::vector<std::int32_t>& out) const;
  // {"text": id, ...}
  void read_vocabulary(const JsonNode& node);
  [[noreturn]] static void no_unknown(std::string_view piece);

  TokenTable tokens_;
  std::size_t num_entries_ = 0;

 private:
  mutable PieceCache cache_;
};

[[nodiscard]] std::string model_type(const JsonNode& node);  // BPE, Unigram, ...
// `byte_level`: pieces come as raw bytes where the file means their printable stand-ins.
[[nodiscard]] std::unique_ptr<TokenModel> make_model(const JsonNode& node, bool byte_level);

[[nodiscard]] std::unique_ptr<TokenModel> make_bpe_model(const JsonNode& node, bool byte_level);
[[nodiscard]] std::unique_ptr<TokenModel> make_unigram_model(const JsonNode& node);
[[nodiscard]] std::unique_ptr<TokenModel> make_wordpiece_model(const JsonNode& node);

// The token of a byte in vocabularies with byte fallback: <0x0A>.
[[nodiscard]] std::string byte_token(unsigned char byte);

}  // namespace finescale
