// SPDX-License-Identifier: Apache-2.0
// Training writes a tokenizer.json and reads it, so a trained tokenizer is one like any other.
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "worker/data/bpe.h"
#include "worker/data/tokenizer.h"
#include "worker/data/tokenizers/byte_level.h"
#include "worker/data/tokenizers/known_patterns.h"

namespace finescale {

namespace {

using OrderedJson = nlohmann::ordered_json;

std::unordered_map<std::string, std::int64_t> count_pieces(const std::vector<std::string>& texts) {
  std::unordered_map<std::string, std::int64_t> counts;
  PieceList pieces;
  for (const std::string& text : texts) {
    pieces.clear();
    split_known(KnownPattern::kGpt2, text, true, pieces);
    for (const Piece& piece : pieces.pieces()) {
      ++counts[std::string(piece.text)];
    }
  }
  return counts;
}

OrderedJson byte_level_parts(bool add_prefix_space) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", true}};
}

// `texts[id]` as the file writes it. A text that comes twice keeps its first id.
OrderedJson vocabulary(const std::vector<std::string>& texts) {
  OrderedJson vocab = OrderedJson::object();
  auto& entries = vocab.get_ref<OrderedJson::object_t&>();
  std::unordered_map<std::string_view, std::size_t> seen;
  for (std::size_t id = 0; id < texts.size(); ++id) {
    if (seen.emplace(texts[id], id).second) {
      entries.emplace_back(texts[id], id);  // not operator[], which looks at all of them
    }
  }
  return vocab;
}

OrderedJson added_tokens(const std::vector<std::string>& special_tokens) {
  OrderedJson added = OrderedJson::array();
  for (std::size_t id = 0; id < special_tokens.size(); ++id) {
    added.push_back({{"id", id},
                     {"content", special_tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  return added;
}

}  // namespace

Tokenizer Tokenizer::train(const std::vector<std::string>& texts, int vocab_size,
                           const std::vector<std::string>& special_tokens) {
  std::vector<std::string> tokens = special_tokens;
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(byte_character(static_cast<unsigned char>(byte)));
  }
  const auto first_byte = static_cast<std::int32_t>(special_tokens.size());
  const auto first_merge = static_cast<std::int32_t>(tokens.size());
  const auto token = [&](std::int32_t symbol) -> const std::string& {
    // Bytes are 0..255 to the trainer, results are numbered as ids.
    return tokens[static_cast<std::size_t>(symbol < 256 ? first_byte + symbol : symbol)];
  };
  OrderedJson merges = OrderedJson::array();
  for (const BpeMerge& merge :
       train_bpe(count_pieces(texts), vocab_size - first_merge, first_merge)) {
    merges.push_back({token(merge.left), token(merge.right)});
    tokens.push_back(token(merge.left) + token(merge.right));
  }
  const OrderedJson document = {{"version", "1.0"},
                                {"truncation", nullptr},
                                {"padding", nullptr},
                                {"added_tokens", added_tokens(special_tokens)},
                                {"normalizer", nullptr},
                                {"pre_tokenizer", byte_level_parts(false)},
                                {"post_processor", nullptr},
                                {"decoder", byte_level_parts(true)},
                                {"model",
                                 {{"type", "BPE"},
                                  {"dropout", nullptr},
                                  {"unk_token", nullptr},
                                  {"continuing_subword_prefix", nullptr},
                                  {"end_of_word_suffix", nullptr},
                                  {"fuse_unk", false},
                                  {"byte_fallback", false},
                                  {"ignore_merges", false},
                                  {"vocab", vocabulary(tokens)},
                                  {"merges", merges}}}};
  return from_json(document.dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n",
                   "a trained tokenizer");
}

}  // namespace finescale
