// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/unicode.h"

#include <cstring>

namespace finescale {

namespace {

struct Continuation {
  int length;           // of the whole character; 0: not a lead byte
  unsigned char least;  // bounds of the second byte: no overlong forms, no surrogates
  unsigned char most;
};

Continuation continuation(unsigned char lead) noexcept {
  if (lead < 0xC2 || lead > 0xF4) {
    return {0, 0, 0};
  }
  if (lead < 0xE0) {
    return {2, 0x80, 0xBF};
  }
  if (lead < 0xF0) {
    return {3, static_cast<unsigned char>(lead == 0xE0 ? 0xA0 : 0x80),
            static_cast<unsigned char>(lead == 0xED ? 0x9F : 0xBF)};
  }
  return {4, static_cast<unsigned char>(lead == 0xF0 ? 0x90 : 0x80),
          static_cast<unsigned char>(lead == 0xF4 ? 0x8F : 0xBF)};
}

// Bytes from `at` that a character could begin with: at least 1, its whole length when it is whole.
std::size_t matched_bytes(std::string_view text, std::size_t at) noexcept {
  const Continuation rule = continuation(static_cast<unsigned char>(text[at]));
  std::size_t matched = 1;
  while (matched < static_cast<std::size_t>(rule.length) && at + matched < text.size()) {
    const auto byte = static_cast<unsigned char>(text[at + matched]);
    const bool fits =
        matched == 1 ? byte >= rule.least && byte <= rule.most : (byte & 0xC0) == 0x80;
    if (!fits) {
      break;
    }
    ++matched;
  }
  return matched;
}

}  // namespace

CodePoint decode_multibyte(std::string_view text, std::size_t at) noexcept {
  const auto lead = static_cast<unsigned char>(text[at]);
  const Continuation rule = continuation(lead);
  if (rule.length == 0 || matched_bytes(text, at) != static_cast<std::size_t>(rule.length)) {
    return {};
  }
  char32_t code = lead & (0x7FU >> rule.length);
  for (int i = 1; i < rule.length; ++i) {
    code =
        (code << 6) | (static_cast<unsigned char>(text[at + static_cast<std::size_t>(i)]) & 0x3F);
  }
  return {code, rule.length};
}

void append_utf8(std::string& out, char32_t code) {
  const auto byte = [&](char32_t bits) { out += static_cast<char>(bits); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0 | (code >> 6));
    byte(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    byte(0xE0 | (code >> 12));
    byte(0x80 | ((code >> 6) & 0x3F));
    byte(0x80 | (code & 0x3F));
  } else {
    byte(0xF0 | (code >> 18));
    byte(0x80 | ((code >> 12) & 0x3F));
    byte(0x80 | ((code >> 6) & 0x3F));
    byte(0x80 | (code & 0x3F));
  }
}

std::string to_utf8(char32_t code) {
  std::string out;
  append_utf8(out, code);
  return out;
}

bool is_ascii(std::string_view text) noexcept {
  constexpr std::uint64_t kHighBits = 0x8080808080808080U;
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, text.data() + i, 8);
    if ((eight & kHighBits) != 0) {
      return false;
    }
  }
  for (; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) >= 0x80) {
      return false;
    }
  }
  return true;
}

bool is_valid_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const int length = decode_utf8(text, i).length;
    if (length == 0) {
      return false;
    }
    i += static_cast<std::size_t>(length);
  }
  return true;
}

std::string replace_invalid(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const int length = decode_utf8(text, i).length;
    const std::size_t bytes =
        length == 0 ? matched_bytes(text, i) : static_cast<std::size_t>(length);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else {
      out += text.substr(i, bytes);
    }
    i += bytes;
  }
  return out;
}

std::size_t incomplete_tail(std::string_view text) noexcept {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const std::size_t at = text.size() - back;
    const int length = continuation(static_cast<unsigned char>(text[at])).length;
    if (length > static_cast<int>(back) && matched_bytes(text, at) == back) {
      return back;
    }
  }
  return 0;
}

}  // namespace finescale
