// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/text.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

namespace finescale::jinja {

namespace {

// The code point at `at`, which moves behind it; -1 for a byte that is none.
UChar32 next(std::string_view text, std::size_t& at) {
  UChar32 c = 0;
  auto i = static_cast<std::int32_t>(0);
  const auto left = static_cast<std::int32_t>(std::min<std::size_t>(4, text.size() - at));
  U8_NEXT(text.data() + at, i, left, c);
  at += c < 0 ? 1 : static_cast<std::size_t>(i);
  return c;
}

// Python's: the separators U+001C to U+001F count, which Unicode's White_Space leaves out.
bool is_space(UChar32 c) {
  return (c >= 0x1C && c <= 0x1F) || (c >= 0 && u_isUWhiteSpace(c) != 0);
}

std::string to_utf8(const icu::UnicodeString& text) {
  std::string out;
  text.toUTF8String(out);
  return out;
}

icu::UnicodeString from_utf8(std::string_view text) {
  return icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
}

template <class Is>
bool all_of(std::string_view text, const Is& is) {
  for (std::size_t at = 0; at < text.size();) {
    if (!is(next(text, at))) {
      return false;
    }
  }
  return !text.empty();
}

bool is_in(std::string_view characters, std::string_view character) {
  for (std::size_t at = 0; at < characters.size();) {
    const std::size_t size = code_point_size(characters, at);
    if (characters.substr(at, size) == character) {
      return true;
    }
    at += size;
  }
  return false;
}

std::size_t last_code_point(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && text.size() - at < 4 &&
         (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) {
    --at;
  }
  return code_point_size(text, at) == text.size() - at ? at : text.size() - 1;
}

bool is_printable(UChar32 c) {
  switch (u_charType(c)) {
    case U_CONTROL_CHAR:
    case U_FORMAT_CHAR:
    case U_SURROGATE:
    case U_PRIVATE_USE_CHAR:
    case U_UNASSIGNED:
    case U_LINE_SEPARATOR:
    case U_PARAGRAPH_SEPARATOR:
      return false;
    case U_SPACE_SEPARATOR:
      return c == ' ';
    default:
      return true;
  }
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (next(text, at) < 0) {
      return false;
    }
  }
  return true;
}

std::size_t code_point_size(std::string_view text, std::size_t at) {
  const std::size_t begin = at;
  (void)next(text, at);
  return at - begin;
}

std::size_t num_code_points(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); ++count) {
    (void)next(text, at);
  }
  return count;
}

std::size_t byte_offset(std::string_view text, std::size_t code_point) {
  std::size_t at = 0;
  for (; code_point > 0 && at < text.size(); --code_point) {
    (void)next(text, at);
  }
  return at;
}

std::string_view strip(std::string_view text, Side side, std::string_view characters, bool given) {
  const auto goes = [&](std::string_view character) {
    std::size_t at = 0;
    return given ? is_in(characters, character) : is_space(next(character, at));
  };
  if (side != Side::kRight) {
    while (!text.empty() && goes(text.substr(0, code_point_size(text, 0)))) {
      text.remove_prefix(code_point_size(text, 0));
    }
  }
  if (side != Side::kLeft) {
    while (!text.empty() && goes(text.substr(last_code_point(text)))) {
      text = text.substr(0, last_code_point(text));
    }
  }
  return text;
}

std::string upper(std::string_view text) {
  return to_utf8(from_utf8(text).toUpper(icu::Locale::getRoot()));
}

std::string lower(std::string_view text) {
  return to_utf8(from_utf8(text).toLower(icu::Locale::getRoot()));
}

std::string capitalize(std::string_view text) {
  if (text.empty()) {
    return {};
  }
  std::size_t at = 0;
  const UChar32 first = next(text, at);
  const std::string head =
      first < 0 ? std::string(text.substr(0, at)) : to_utf8(icu::UnicodeString(u_totitle(first)));
  return head + lower(text.substr(at));
}

std::string title(std::string_view text) {
  icu::UnicodeString out;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const UChar32 c = next(text, at);
    if (c < 0) {
      continue;
    }
    out.append(inside ? u_tolower(c) : u_totitle(c));
    inside = u_hasBinaryProperty(c, UCHAR_CASED) != 0;
  }
  return to_utf8(out);
}

bool all_space(std::string_view text) {
  return all_of(text, is_space);
}
bool all_digits(std::string_view text) {
  return all_of(text, [](UChar32 c) { return c >= 0 && u_isdigit(c) != 0; });
}
bool all_letters(std::string_view text) {
  return all_of(text, [](UChar32 c) { return c >= 0 && u_isalpha(c) != 0; });
}
bool all_letters_or_digits(std::string_view text) {
  return all_of(text, [](UChar32 c) { return c >= 0 && u_isalnum(c) != 0; });
}

std::string quoted(std::string_view text) {
  const char quote =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"'
                                                                                            : '\'';
  std::string out(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const UChar32 c = next(text, at);
    std::array<char, 16> escape{};
    if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (c == quote || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c >= 0 && is_printable(c)) {
      out += text.substr(begin, at - begin);
    } else {
      const auto code = static_cast<unsigned>(c < 0 ? static_cast<unsigned char>(text[begin]) : c);
      const char* format = code > 0xFFFF ? "\\U%08x" : code > 0xFF ? "\\u%04x" : "\\x%02x";
      std::snprintf(escape.data(), escape.size(), format, code);
      out += escape.data();
    }
  }
  return out + quote;
}

}  // namespace finescale::jinja
