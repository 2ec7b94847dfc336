// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <unordered_map>

#include "core/error.h"
#include "worker/data/gguf_tokenizer.h"

namespace finescale {

namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kScores = "tokenizer.ggml.scores";

[[noreturn]] void fail_key(const GgufMetadata& metadata, const char* key,
                           const std::string& message) {
  throw Error(ErrorKind::kData, "gguf: " + message, metadata.place(key));
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

struct RankedMerge {
  PieceMerge merge;
  double score = 0;
  std::size_t left_length = 0;  // characters
  std::size_t right_length = 0;
  std::int32_t left_id = 0;
  std::int32_t right_id = 0;
};

using Ids = std::unordered_map<std::string_view, std::int32_t>;

// Every cut of a piece into two pieces, by their ids.
void add_cuts(std::string_view piece, double score, const Ids& ids, std::vector<RankedMerge>& out) {
  const std::size_t first = out.size();
  for (std::size_t cut = 1; cut < piece.size(); ++cut) {
    if ((piece[cut] & 0xC0) == 0x80) {
      continue;  // inside a character
    }
    const auto left = ids.find(piece.substr(0, cut));
    const auto right = ids.find(piece.substr(cut));
    if (left != ids.end() && right != ids.end()) {
      out.push_back({{left->first, right->first},
                     score,
                     characters(left->first),
                     characters(right->first),
                     left->second,
                     right->second});
    }
  }
  std::sort(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(),
            [](const RankedMerge& a, const RankedMerge& b) {
              return std::pair(a.left_id, a.right_id) < std::pair(b.left_id, b.right_id);
            });
}

}  // namespace

GgufVocabulary read_gguf_vocabulary(const GgufMetadata& metadata) {
  GgufVocabulary vocabulary;
  vocabulary.tokens = metadata.texts(kTokens);
  const std::size_t count = vocabulary.tokens.size();
  if (count == 0) {
    fail_key(metadata, kTokens, "the file has no tokens");
  }
  if (count > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    fail_key(metadata, kTokens, "there are too many tokens");
  }
  const std::vector<std::int64_t> types = metadata.integers(kTypes);
  if (!types.empty() && types.size() != count) {
    fail_key(metadata, kTypes,
             std::to_string(types.size()) + " types for " + std::to_string(count) + " tokens");
  }
  vocabulary.types.assign(count, GgufTokenType::kNormal);
  for (std::size_t id = 0; id < types.size(); ++id) {
    if (types[id] < 1 || types[id] > 6) {
      fail_key(metadata, kTypes,
               "token " + std::to_string(id) + " has type " + std::to_string(types[id]) +
                   ", must be 1 to 6");
    }
    vocabulary.types[id] = static_cast<GgufTokenType>(types[id]);
  }
  vocabulary.scores = metadata.numbers(kScores);
  if (!vocabulary.scores.empty() && vocabulary.scores.size() != count) {
    fail_key(metadata, kScores,
             std::to_string(vocabulary.scores.size()) + " scores for " + std::to_string(count) +
                 " tokens");
  }
  for (std::size_t id = 0; id < vocabulary.scores.size(); ++id) {
    if (std::isnan(vocabulary.scores[id])) {
      fail_key(metadata, kScores, "the score of token " + std::to_string(id) + " is not a number");
    }
  }
  return vocabulary;
}

GgufSpecialTokens read_gguf_special_tokens(const GgufMetadata& metadata) {
  const auto count = static_cast<std::int64_t>(metadata.texts(kTokens).size());
  const auto id = [&](const char* key) {
    const std::optional<std::int64_t> value = metadata.integer(key);
    if (value && (*value < 0 || *value >= count)) {
      fail_key(metadata, key,
               "token " + std::to_string(*value) + " does not exist: there are " +
                   std::to_string(count));
    }
    return value;
  };
  return {.bos = id("tokenizer.ggml.bos_token_id"),
          .eos = id("tokenizer.ggml.eos_token_id"),
          .end_of_turn = id("tokenizer.ggml.eot_token_id"),
          .unknown = id("tokenizer.ggml.unknown_token_id"),
          .padding = id("tokenizer.ggml.padding_token_id")};
}

std::vector<PieceMerge> merges_of_scores(const GgufVocabulary& vocabulary) {
  Ids ids;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] == GgufTokenType::kNormal) {
      ids.emplace(vocabulary.tokens[id], static_cast<std::int32_t>(id));
    }
  }
  std::vector<RankedMerge> ranked;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] == GgufTokenType::kNormal) {
      add_cuts(vocabulary.tokens[id], vocabulary.scores[id], ids, ranked);
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const RankedMerge& a, const RankedMerge& b) {
    return std::tuple(a.score, a.left_length, a.right_length) >
           std::tuple(b.score, b.left_length, b.right_length);
  });
  std::vector<PieceMerge> merges;
  merges.reserve(ranked.size());
  for (const RankedMerge& one : ranked) {
    merges.push_back(one.merge);
  }
  return merges;
}

}  // namespace finescale
