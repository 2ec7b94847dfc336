// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "worker/data/tokenizers/byte_trie.h"
#include "worker/data/tokenizers/model.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

// BERT's: the longest token from the left, again and again; the whole word is unknown when that
// ends early.
class WordPieceModel final : public TokenModel {
 public:
  explicit WordPieceModel(const JsonNode& node)
      : max_characters_(node.find("max_input_chars_per_word")
                            ? node.at("max_input_chars_per_word").integer(0, INT64_MAX)
                            : 100) {
    read_vocabulary(node.at("vocab"));
    unk_ = tokens_.find(node.text_or("unk_token", "[UNK]"));
    const std::string prefix = node.text_or("continuing_subword_prefix", "##");
    std::vector<std::pair<std::string, std::int32_t>> first;
    std::vector<std::pair<std::string, std::int32_t>> next;
    for (const auto& [text, id] : node.at("vocab").value().items()) {
      first.emplace_back(text, id.get<std::int32_t>());
      if (text.starts_with(prefix)) {
        next.emplace_back(text.substr(prefix.size()), id.get<std::int32_t>());
      }
    }
    first_ = ByteTrie(std::move(first));
    next_ = ByteTrie(std::move(next));
  }

 private:
  void make_ids(std::string_view piece, std::vector<std::int32_t>& out) const override {
    const auto characters = std::count_if(piece.begin(), piece.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    });
    const std::size_t before = out.size();
    std::size_t at = 0;
    while (characters <= max_characters_ && at < piece.size()) {
      std::size_t longest = 0;
      std::int32_t id = -1;
      (at == 0 ? first_ : next_).prefixes(piece, at, [&](std::size_t length, std::int32_t found) {
        longest = length;
        id = found;
      });
      if (id < 0) {
        break;
      }
      out.push_back(id);
      at += longest;
    }
    if (at < piece.size()) {
      out.resize(before);
      if (unk_ < 0) {
        no_unknown(piece);
      }
      out.push_back(unk_);
    }
  }

  std::int64_t max_characters_;
  std::int32_t unk_ = -1;
  ByteTrie first_;
  ByteTrie next_;
};

}  // namespace

std::unique_ptr<TokenModel> make_wordpiece_model(const JsonNode& node) {
  return std::make_unique<WordPieceModel>(node);
}

}  // namespace finescale
