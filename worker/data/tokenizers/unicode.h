// SPDX-License-Identifier: Apache-2.0
// UTF-8 and the character classes that tokenizers ask for, as of Unicode 16. Pure functions; the
// table of classes is built on first use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace finescale {

struct CodePoint {
  char32_t value = 0;
  int length = 0;  // bytes; 0 where no character begins: that byte is not UTF-8
};

// The longer forms; ASCII is inline below. Strict: no overlong forms, surrogates, or values beyond
// U+10FFFF.
[[nodiscard]] CodePoint decode_multibyte(std::string_view text, std::size_t at) noexcept;

[[nodiscard]] inline CodePoint decode_utf8(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size()) {
    return {};
  }
  const auto byte = static_cast<unsigned char>(text[at]);
  return byte < 0x80 ? CodePoint{byte, 1} : decode_multibyte(text, at);
}

void append_utf8(std::string& out, char32_t code);
[[nodiscard]] std::string to_utf8(char32_t code);
[[nodiscard]] bool is_ascii(std::string_view text) noexcept;
[[nodiscard]] bool is_valid_utf8(std::string_view text) noexcept;
// Invalid bytes as U+FFFD, one for each maximal part of a character (the practice that Unicode
// recommends, and what Python and Rust do).
[[nodiscard]] std::string replace_invalid(std::string_view text);
// Bytes at the end that begin a character whose rest may still come: 0 to 3.
[[nodiscard]] std::size_t incomplete_tail(std::string_view text) noexcept;

// Bits of a character's classes.
enum CharClass : std::uint8_t {
  kLetter = 1,        // general category L
  kNumber = 2,        // N
  kSpace = 4,         // the property White_Space
  kMark = 8,          // M
  kPunctuation = 16,  // P
  kWord = 32,         // \w of UTS 18: Alphabetic, M, Nd, Pc, joiners
};

// One byte of classes for each of the 0x110000 code points.
[[nodiscard]] const std::uint8_t* char_class_table();

[[nodiscard]] inline std::uint8_t char_classes(char32_t code) {
  return char_class_table()[code];
}
[[nodiscard]] inline bool is_white_space(char32_t code) {
  return (char_classes(code) & kSpace) != 0;
}

// The version of Unicode that assigned the character, as major * 10 + minor; 0: none that ICU
// knows. The reference library is built of parts with tables of different ages.
[[nodiscard]] int unicode_age(char32_t code);

// The general category as U_MASK of ICU's UCharCategory, as of Unicode 16.
[[nodiscard]] std::uint32_t category_mask(char32_t code);

// One character in lower case: at most two code points (only U+0130 has two).
void append_lower(std::string& out, char32_t code);

}  // namespace finescale
