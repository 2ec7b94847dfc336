// SPDX-License-Identifier: Apache-2.0
// Pre-tokenizers that decide character by character.
#include <unicode/uchar.h>

#include <algorithm>

#include "worker/data/tokenizers/pretokenizer.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

// Punctuation as the reference counts it: ASCII, and category P as of Unicode 8.
bool is_punctuation(char32_t c) {
  constexpr int kKnown = 80;
  if (c < 0x80) {
    return u_ispunct(static_cast<UChar32>(c)) != 0 || c == '$' || c == '+' || c == '<' ||
           c == '=' || c == '>' || c == '^' || c == '`' || c == '|' || c == '~';
  }
  return c == 0x166D || c == 0x111C9 ||
         ((char_classes(c) & kPunctuation) != 0 && unicode_age(c) != 0 && unicode_age(c) <= kKnown);
}

bool is_number(char32_t c) {  // category N as of Unicode 17
  return (char_classes(c) & kNumber) != 0 || (c >= 0x11DE0 && c <= 0x11DE9) ||
         (c >= 0x16FF4 && c <= 0x16FF6);
}

// Splits at the characters for which Test::matches holds.
template <class Test>
class CharacterSplit final : public PreTokenizer {
 public:
  CharacterSplit(Test test, SplitBehavior behavior) : test_(test), behavior_(behavior) {}

  void apply(const Piece& piece, PieceList& out) const override {
    segments_.clear();
    std::size_t last = 0;
    for (std::size_t at = 0; at < piece.text.size();) {
      const CodePoint c = decode_utf8(piece.text, at);
      const std::size_t end = at + static_cast<std::size_t>(std::max(1, c.length));
      if (c.length > 0 && test_(c.value)) {
        if (last < at) {
          segments_.push_back({{last, at}, false});
        }
        segments_.push_back({{at, end}, true});
        last = end;
      }
      at = end;
    }
    if (last < piece.text.size()) {
      segments_.push_back({{last, piece.text.size()}, false});
    }
    add_segments(piece, behavior_, segments_, out);
  }

 private:
  Test test_;
  SplitBehavior behavior_;
  mutable std::vector<Segment> segments_;
};

template <class Test>
PreTokenizerPtr split_at(Test test, SplitBehavior behavior) {
  return std::make_unique<CharacterSplit<Test>>(test, behavior);
}

// Runs of word characters, and runs of what is neither word nor space.
class WordsCut final : public PreTokenizer {
 public:
  void apply(const Piece& piece, PieceList& out) const override {
    enum class Kind { kSpace, kWord, kSymbol };
    Kind kind = Kind::kSpace;
    std::size_t begin = 0;
    std::size_t at = 0;
    while (at < piece.text.size()) {
      const CodePoint c = decode_utf8(piece.text, at);
      const unsigned classes = c.length > 0 ? char_classes(c.value) : 0U;
      const Kind here = (classes & kWord) != 0    ? Kind::kWord
                        : (classes & kSpace) != 0 ? Kind::kSpace
                                                  : Kind::kSymbol;
      if (here != kind) {
        if (kind != Kind::kSpace) {
          out.add(piece.text.substr(begin, at - begin), piece.at_start && begin == 0);
        }
        kind = here;
        begin = at;
      }
      at += static_cast<std::size_t>(std::max(1, c.length));
    }
    if (kind != Kind::kSpace) {
      out.add(piece.text.substr(begin), piece.at_start && begin == 0);
    }
  }
};

class BertWords final : public PreTokenizer {
 public:
  void apply(const Piece& piece, PieceList& out) const override {
    std::size_t begin = 0;
    const auto add = [&](std::size_t from, std::size_t to) {
      out.add(piece.text.substr(from, to - from), piece.at_start && from == 0);
    };
    for (std::size_t at = 0; at < piece.text.size();) {
      const CodePoint c = decode_utf8(piece.text, at);
      const std::size_t end = at + static_cast<std::size_t>(std::max(1, c.length));
      const bool space = c.length > 0 && is_white_space(c.value);
      if (space || (c.length > 0 && is_punctuation(c.value))) {
        add(begin, at);
        add(space ? end : at, end);
        begin = end;
      }
      at = end;
    }
    add(begin, piece.text.size());
  }
};

class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(const JsonNode& node)
      : length_(node.find("length") ? node.at("length").integer(1, INT32_MAX) : 5) {}

  void apply(const Piece& piece, PieceList& out) const override {
    std::size_t begin = 0;
    std::int64_t count = 0;
    for (std::size_t at = 0; at < piece.text.size();) {
      at += static_cast<std::size_t>(std::max(1, decode_utf8(piece.text, at).length));
      if (++count == length_ || at == piece.text.size()) {
        out.add(piece.text.substr(begin, at - begin), piece.at_start && begin == 0);
        begin = at;
        count = 0;
      }
    }
  }

 private:
  std::int64_t length_;
};

}  // namespace

PreTokenizerPtr make_character_pretokenizer(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "Digits") {
    return split_at(&is_number, node.flag_or("individual_digits", false)
                                    ? SplitBehavior::kIsolated
                                    : SplitBehavior::kContiguous);
  }
  if (type == "Punctuation") {
    const auto behavior = node.find("behavior");
    return split_at(&is_punctuation,
                    behavior ? split_behavior(*behavior) : SplitBehavior::kIsolated);
  }
  if (type == "WhitespaceSplit") {
    return split_at(&is_white_space, SplitBehavior::kRemoved);
  }
  if (type == "CharDelimiterSplit" || type == "Delimiter") {
    const char32_t delimiter = node.at("delimiter").character();
    return split_at([delimiter](char32_t c) { return c == delimiter; }, SplitBehavior::kRemoved);
  }
  if (type == "Whitespace") {
    return std::make_unique<WordsCut>();
  }
  if (type == "BertPreTokenizer") {
    return std::make_unique<BertWords>();
  }
  if (type == "FixedLength") {
    return std::make_unique<FixedLength>(node);
  }
  return nullptr;
}

}  // namespace finescale
