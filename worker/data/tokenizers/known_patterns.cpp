// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/known_patterns.h"

#include <array>
#include <utility>

#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text), classes_(char_class_table()) {}

  struct Char {
    std::size_t end = 0;  // byte behind it; its own position where there is none
    std::uint8_t classes = 0;
    bool valid = false;
    char ascii = 0;
  };

  [[nodiscard]] Char at(std::size_t position) const {
    if (position >= text_.size()) {
      return {position, 0, false, 0};
    }
    const auto byte = static_cast<unsigned char>(text_[position]);
    if (byte < 0x80) {
      return {position + 1, classes_[byte], true, text_[position]};
    }
    const CodePoint c = decode_multibyte(text_, position);
    if (c.length == 0) {
      return {position, 0, false, 0};
    }
    return {position + static_cast<std::size_t>(c.length), classes_[c.value], true, 0};
  }

  // End of the run of characters whose classes & mask is `wanted`.
  [[nodiscard]] std::size_t run(std::size_t position, unsigned mask, unsigned wanted) const {
    for (;;) {
      const Char c = at(position);
      if (!c.valid || (c.classes & mask) != wanted) {
        return position;
      }
      position = c.end;
    }
  }
  [[nodiscard]] std::size_t letters(std::size_t position) const {
    for (;;) {
      const Char c = at(position);
      if ((c.classes & kLetter) == 0) {
        return position;
      }
      position = c.end;
    }
  }
  [[nodiscard]] std::size_t symbols(std::size_t position) const {
    return run(position, kLetter | kNumber | kSpace, 0);
  }

  [[nodiscard]] std::size_t bytes_not_utf8(std::size_t position) const {
    while (position < text_.size() && !at(position).valid) {
      ++position;
    }
    return position;
  }

  // \s+(?!\S)|\s+ : a run of white space leaves its last character to what follows.
  [[nodiscard]] std::size_t spaces(std::size_t position) const {
    std::size_t last = position;
    std::size_t end = position;
    for (Char c = at(end); (c.classes & kSpace) != 0; c = at(end)) {
      last = end;
      end = c.end;
    }
    return at(end).valid && last > position ? last : end;
  }

  // Behind \s*[\r\n]+ at `position`, or `position` when it does not match.
  [[nodiscard]] std::size_t line_ends(std::size_t position) const {
    std::size_t end = position;
    for (Char c = at(position); (c.classes & kSpace) != 0; c = at(c.end)) {
      if (c.ascii == '\r' || c.ascii == '\n') {
        end = c.end;
      }
    }
    return end;
  }

  // Behind 's 't 're 've 'm 'll 'd at an apostrophe; `position` when it is none of them.
  [[nodiscard]] std::size_t contraction(std::size_t position, bool any_case) const {
    const auto letter = [&](std::size_t at_byte) {
      const char c = at_byte < text_.size() ? text_[at_byte] : '\0';
      return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    };
    const char first = letter(position + 1);
    const char second = first == '\0' ? '\0' : letter(position + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') {
      return position + 2;
    }
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
        (first == 'l' && second == 'l')) {
      return position + 3;
    }
    // The long s folds to s.
    return any_case && text_.substr(position + 1, 2) == "\xC5\xBF" ? position + 3 : position;
  }

 private:
  std::string_view text_;
  const std::uint8_t* classes_;
};

std::size_t next_gpt2(const Scanner& scan, std::size_t begin, const Scanner::Char& first) {
  if (first.ascii == '\'') {
    if (const std::size_t end = scan.contraction(begin, false); end > begin) {
      return end;
    }
  }
  std::size_t from = begin;
  Scanner::Char head = first;
  if (first.ascii == ' ') {  // the optional space before a word
    const Scanner::Char next = scan.at(first.end);
    if (next.valid && (next.classes & kSpace) == 0) {
      from = first.end;
      head = next;
    }
  }
  if ((head.classes & kLetter) != 0) {
    return scan.letters(from);
  }
  if ((head.classes & kNumber) != 0) {
    return scan.run(from, kNumber, kNumber);
  }
  return (head.classes & kSpace) != 0 ? scan.spaces(begin) : scan.symbols(from);
}

std::size_t next_cl100k(const Scanner& scan, std::size_t begin, const Scanner::Char& first,
                        int max_digits) {
  if (first.ascii == '\'') {
    if (const std::size_t end = scan.contraction(begin, true); end > begin) {
      return end;
    }
  }
  if ((first.classes & kLetter) != 0) {
    return scan.letters(first.end);
  }
  if ((first.classes & kNumber) != 0) {
    std::size_t end = first.end;
    for (int digits = 1; digits < max_digits; ++digits) {
      const Scanner::Char c = scan.at(end);
      if ((c.classes & kNumber) == 0) {
        break;
      }
      end = c.end;
    }
    return end;
  }
  const bool line_end = first.ascii == '\r' || first.ascii == '\n';
  const Scanner::Char next = scan.at(first.end);
  if (!line_end && (next.classes & kLetter) != 0) {
    return scan.letters(first.end);  // one character before a word
  }
  constexpr unsigned kNotSymbol = kLetter | kNumber | kSpace;
  const bool symbol = (first.classes & kNotSymbol) == 0;
  if (symbol || (first.ascii == ' ' && next.valid && (next.classes & kNotSymbol) == 0)) {
    std::size_t end = scan.symbols(first.end);
    for (Scanner::Char c = scan.at(end); c.ascii == '\r' || c.ascii == '\n'; c = scan.at(end)) {
      end = c.end;
    }
    return end;
  }
  const std::size_t lines = scan.line_ends(begin);
  return lines > begin ? lines : scan.spaces(begin);
}

}  // namespace

std::optional<KnownPattern> known_pattern(std::string_view regex) {
  constexpr std::array<std::pair<std::string_view, KnownPattern>, 4> kKnown = {{
      {kGpt2Pattern, KnownPattern::kGpt2},
      {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
       KnownPattern::kGpt2},
      {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       KnownPattern::kLlama3},
      {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       KnownPattern::kQwen2},
  }};
  for (const auto& [text, pattern] : kKnown) {
    if (text == regex) {
      return pattern;
    }
  }
  return std::nullopt;
}

void split_known(KnownPattern pattern, std::string_view text, bool at_start, PieceList& pieces) {
  const Scanner scan(text);
  const int max_digits = pattern == KnownPattern::kLlama3 ? 3 : 1;
  for (std::size_t begin = 0; begin < text.size();) {
    const Scanner::Char first = scan.at(begin);
    const std::size_t end = !first.valid ? scan.bytes_not_utf8(begin)
                            : pattern == KnownPattern::kGpt2
                                ? next_gpt2(scan, begin, first)
                                : next_cl100k(scan, begin, first, max_digits);
    pieces.add(text.substr(begin, end - begin), at_start && begin == 0);
    begin = end;
  }
}

}  // namespace finescale
