// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/added_tokens.h"

#include <algorithm>

#include "worker/data/tokenizers/unicode.h"

namespace finescale {

AddedTokens::AddedTokens(const JsonNode& list, const TokenModel& model,
                         const Normalizer* normalizer) {
  auto next_id = static_cast<std::int32_t>(model.num_entries());
  for (std::size_t i = 0; i < list.size(); ++i) {
    add(list.at(i), model, normalizer, next_id);
  }
  std::vector<std::pair<std::string, std::int32_t>> raw;
  std::vector<std::pair<std::string, std::int32_t>> normalized;
  for (const auto& [id, token] : tokens_) {
    (token.normalized ? normalized : raw).emplace_back(token.normalized_content, id);
    id_limit_ = std::max(id_limit_, id + 1);
  }
  raw_ = ByteTrie(std::move(raw));
  normalized_ = ByteTrie(std::move(normalized));
}

void AddedTokens::add(const JsonNode& node, const TokenModel& model, const Normalizer* normalizer,
                      std::int32_t& next_id) {
  Token token;
  token.content = node.at("content").text();
  token.special = node.flag_or("special", false);
  token.single_word = node.flag_or("single_word", false);
  token.lstrip = node.flag_or("lstrip", false);
  token.rstrip = node.flag_or("rstrip", false);
  token.normalized = node.flag_or("normalized", !token.special);
  if (token.content.empty()) {
    return;
  }
  token.normalized_content = token.content;
  if (token.normalized && normalizer != nullptr) {
    NormalText text{token.content, true};
    normalizer->apply(text);
    token.normalized_content = std::move(text.text);
  }
  std::int32_t id = find(token.content);
  if (id < 0) {
    id = model.tokens().find(token.content);
  }
  if (id < 0) {
    id = next_id++;
  }
  ids_[token.content] = id;
  if (token.special) {
    special_.insert(token.content);
  }
  tokens_[id] = std::move(token);
}

std::int32_t AddedTokens::find(std::string_view content) const {
  const auto found = ids_.find(std::string(content));
  return found == ids_.end() ? -1 : found->second;
}

std::optional<std::string_view> AddedTokens::text(std::int32_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? std::nullopt
                                : std::optional<std::string_view>(found->second.normalized_content);
}

namespace {

// The character that ends at `end`; where bytes are not UTF-8, none.
CodePoint character_before(std::string_view text, std::size_t end) {
  for (std::size_t back = 1; back <= 4 && back <= end; ++back) {
    const CodePoint c = decode_utf8(text, end - back);
    if (static_cast<std::size_t>(c.length) == back) {
      return c;
    }
  }
  return {};
}

bool is_word(CodePoint c) {
  return c.length > 0 && (char_classes(c.value) & kWord) != 0;
}
bool is_space(CodePoint c) {
  return c.length > 0 && is_white_space(c.value);
}

}  // namespace

std::optional<AddedTokens::Match> AddedTokens::next(std::string_view text, In in, bool as_data,
                                                    std::size_t taken, std::size_t& begin) const {
  const ByteTrie& trie = in == In::kRaw ? raw_ : normalized_;
  if (trie.empty()) {
    return std::nullopt;
  }
  for (; begin < text.size(); ++begin) {
    if (!trie.may_begin(text[begin])) {
      continue;
    }
    Match match{begin, begin, -1};
    trie.prefixes(text, begin, [&](std::size_t length, std::int32_t id) {
      match.end = match.begin + length;
      match.id = id;
    });
    if (match.id < 0) {
      continue;
    }
    begin = match.end - 1;  // also when its rules refuse it: matches do not overlap
    const Token& token = tokens_.at(match.id);
    if ((as_data && special_.contains(token.content)) ||
        (token.single_word &&
         (is_word(character_before(text, match.begin)) || is_word(decode_utf8(text, match.end))))) {
      continue;
    }
    begin = match.end;
    if (token.lstrip) {
      for (CodePoint c = character_before(text, match.begin); match.begin > taken && is_space(c);
           c = character_before(text, match.begin)) {
        match.begin -= static_cast<std::size_t>(c.length);
      }
    }
    if (token.rstrip) {
      for (CodePoint c = decode_utf8(text, match.end); is_space(c);
           c = decode_utf8(text, match.end)) {
        match.end += static_cast<std::size_t>(c.length);
      }
    }
    return match;
  }
  return std::nullopt;
}

}  // namespace finescale
