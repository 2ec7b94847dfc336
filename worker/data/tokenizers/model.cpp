// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/model.h"

#include <array>

#include "core/error.h"

namespace finescale {

void TokenModel::cached(std::string_view piece, std::vector<std::int32_t>& out) const {
  if (piece.size() > PieceCache::kMaxPieceBytes || piece.empty()) {
    make_ids(piece, out);
    return;
  }
  const std::uint64_t hash = PieceCache::hash(piece);
  if (!cache_.append(piece, hash, out)) {
    const std::size_t before = out.size();
    make_ids(piece, out);
    cache_.insert(piece, hash, std::span(out).subspan(before));
  }
}

void TokenModel::read_vocabulary(const JsonNode& node) {
  if (!node.is_object()) {
    node.fail("must be an object of texts and ids");
  }
  // Ids may have holes, but the table of ids must not dwarf the file.
  const auto limit = static_cast<std::int64_t>(node.value().size() * 2 + 100000);
  num_entries_ = node.value().size();
  tokens_.reserve(num_entries_);
  for (const auto& [text, id] : node.value().items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= static_cast<std::uint64_t>(limit)) {
      (void)node.at(text).integer(0, limit - 1);  // throws with the path
    }
    tokens_.add(text, id.get<std::int32_t>());
  }
}

void TokenModel::no_unknown(std::string_view piece) {
  constexpr std::size_t kShown = 40;
  throw Error(ErrorKind::kData,
              "tokenizer: the vocabulary has no token for " + std::string(piece.substr(0, kShown)) +
                  " and none for unknown text",
              {}, "the tokenizer.json needs an unk_token that is in its vocabulary");
}

std::string byte_token(unsigned char byte) {
  constexpr std::array<char, 17> kDigits = {"0123456789ABCDEF"};
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 0xF] + ">";
}

std::string model_type(const JsonNode& node) {
  // Old files leave the type out; their form tells.
  const bool unigram = node.find("vocab") && node.at("vocab").is_array();
  return node.text_or("type", unigram ? "Unigram" : node.find("merges") ? "BPE" : "WordPiece");
}

std::unique_ptr<TokenModel> make_model(const JsonNode& node, bool byte_level) {
  const std::string type = model_type(node);
  if (type == "BPE") {
    return make_bpe_model(node, byte_level);
  }
  if (type == "Unigram") {
    return make_unigram_model(node);
  }
  if (type == "WordPiece") {
    return make_wordpiece_model(node);
  }
  node.unsupported("the model " + type);
}

}  // namespace finescale
