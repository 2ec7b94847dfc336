// SPDX-License-Identifier: Apache-2.0
// Tokens that are cut out of the text before anything else: special ones (BOS, chat marks) and
// words that were added later. Pure after construction.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "worker/data/tokenizers/byte_trie.h"
#include "worker/data/tokenizers/json_node.h"
#include "worker/data/tokenizers/model.h"
#include "worker/data/tokenizers/normalizer.h"

namespace finescale {

class AddedTokens {
 public:
  AddedTokens() = default;
  // Ids are the model's where it knows the text, else they follow its vocabulary in order: the
  // reference does not use the ids of the list either.
  AddedTokens(const JsonNode& list, const TokenModel& model, const Normalizer* normalizer);

  enum class In { kRaw, kNormalized };  // which tokens are looked for
  // Leftmost, then longest. Calls part(text, begin, nullopt) and part(text, begin, id) from left to
  // right; `begin` is the offset in the text. Special tokens are passed over if `as_data`.
  template <class PartFunction>
  void split(std::string_view text, In in, bool as_data, PartFunction part) const;

  [[nodiscard]] std::int32_t find(std::string_view content) const;  // -1: none
  // As decoding sees it: in normalised form. none: not an added token.
  [[nodiscard]] std::optional<std::string_view> text(std::int32_t id) const;
  [[nodiscard]] std::int32_t id_limit() const noexcept { return id_limit_; }
  [[nodiscard]] bool is_special(std::string_view text) const {
    return special_.contains(std::string(text));
  }

 private:
  struct Token {
    std::string content;
    std::string normalized_content;
    bool single_word = false;
    bool lstrip = false;
    bool rstrip = false;
    bool normalized = false;
    bool special = false;
  };
  struct Match {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::int32_t id = 0;
  };
  void add(const JsonNode& node, const TokenModel& model, const Normalizer* normalizer,
           std::int32_t& next_id);
  // The next one from `begin` on, with the bounds that its rules give it; `taken`: where the last
  // one ended. `begin` moves behind the match.
  [[nodiscard]] std::optional<Match> next(std::string_view text, In in, bool as_data,
                                          std::size_t taken, std::size_t& begin) const;

  std::map<std::int32_t, Token> tokens_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::unordered_set<std::string> special_;
  ByteTrie raw_;
  ByteTrie normalized_;
  std::int32_t id_limit_ = 0;
};

template <class PartFunction>
void AddedTokens::split(std::string_view text, In in, bool as_data, PartFunction part) const {
  std::size_t taken = 0;
  std::size_t begin = 0;
  while (const std::optional<Match> match = next(text, in, as_data, taken, begin)) {
    if (taken < match->begin) {
      part(text.substr(taken, match->begin - taken), taken, std::optional<std::int32_t>());
    }
    part(text.substr(match->begin, match->end - match->begin), match->begin,
         std::optional<std::int32_t>(match->id));
    taken = match->end;
  }
  if (taken < text.size()) {
    part(text.substr(taken), taken, std::optional<std::int32_t>());
  }
}

}  // namespace finescale
