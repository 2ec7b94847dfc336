// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/literals.h"

#include <charconv>

namespace finescale::jinja {

namespace {

void append_utf8(unsigned code, std::string& out) {
  const auto byte = [&out](unsigned value) { out += static_cast<char>(value); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0U | (code >> 6U));
    byte(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    byte(0xE0U | (code >> 12U));
    byte(0x80U | ((code >> 6U) & 0x3FU));
    byte(0x80U | (code & 0x3FU));
  } else {
    byte(0xF0U | (code >> 18U));
    byte(0x80U | ((code >> 12U) & 0x3FU));
    byte(0x80U | ((code >> 6U) & 0x3FU));
    byte(0x80U | (code & 0x3FU));
  }
}

// \xhh, \uhhhh, \Uhhhhhhhh at `at` (behind the letter); false: it is none.
bool append_code(std::string_view text, std::size_t digits, std::size_t& at, std::string& out) {
  unsigned code = 0;
  const char* const begin = text.data() + at;
  if (at + digits > text.size() ||
      std::from_chars(begin, begin + digits, code, 16).ptr != begin + digits || code > 0x10FFFF ||
      (code >= 0xD800 && code <= 0xDFFF)) {
    return false;
  }
  at += digits;
  append_utf8(code, out);
  return true;
}

// Behind a backslash; null, or what is wrong.
const char* append_escape(std::string_view text, std::size_t& at, std::string& out) {
  const char c = text[at++];
  constexpr std::string_view kLetters = "abfnrtv\\'\"";
  if (const std::size_t kind = kLetters.find(c); kind != std::string_view::npos) {
    out += "\a\b\f\n\r\t\v\\'\""[kind];
  } else if (c == 'x' || c == 'u' || c == 'U') {
    if (!append_code(text, c == 'x' ? 2 : c == 'u' ? 4 : 8, at, out)) {
      return "an escape \\x, \\u or \\U in a string names no character";
    }
  } else if (c >= '0' && c <= '7') {
    auto code = static_cast<unsigned>(c - '0');
    for (int i = 0; i < 2 && at < text.size() && text[at] >= '0' && text[at] <= '7'; ++i) {
      code = code * 8 + static_cast<unsigned>(text[at++] - '0');
    }
    append_utf8(code, out);
  } else if (c != '\n') {  // a line that goes on; any other pair stays as it is
    out += '\\';
    out += c;
  }
  return nullptr;
}

}  // namespace

const char* read_string_literal(std::string_view text, std::size_t* size, std::string* meaning) {
  const char quote = text.front();
  std::size_t at = 1;
  while (at < text.size() && text[at] != quote) {
    if (text[at] != '\\') {
      *meaning += text[at++];
      continue;
    }
    if (++at == text.size()) {
      break;
    }
    if (const char* fault = append_escape(text, at, *meaning)) {
      return fault;
    }
  }
  *size = at + 1;
  return at < text.size() ? nullptr : "a string has no closing quote";
}

std::size_t number_size(std::string_view text, bool only_integer, bool* is_real) {
  const auto at = [&text](std::size_t i) { return i < text.size() ? text[i] : '\0'; };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t end = 0;
  const auto digits = [&] {
    while (is_digit(at(end)) || at(end) == '_') {
      ++end;
    }
  };
  *is_real = false;
  if (at(0) == '0' && std::string_view("xXoObB").find(at(1)) != std::string_view::npos) {
    end = 2;
    while (is_digit(at(end)) || at(end) == '_' ||
           ((at(end) | 0x20) >= 'a' && (at(end) | 0x20) <= 'z')) {
      ++end;  // letters that are no digits are refused where the number is read
    }
    return end;
  }
  digits();
  if (only_integer) {
    return end;
  }
  if (at(end) == '.' && is_digit(at(end + 1))) {
    *is_real = true;
    ++end;
    digits();
  }
  const std::size_t sign = at(end + 1) == '-' || at(end + 1) == '+' ? 1 : 0;
  if ((at(end) | 0x20) == 'e' && is_digit(at(end + 1 + sign))) {
    *is_real = true;
    end += 1 + sign;
    digits();
  }
  return end;
}

}  // namespace finescale::jinja
