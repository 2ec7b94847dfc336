// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf_cursor.h"

#include "core/error.h"

namespace finescale {

std::string gguf_place(const std::string& path, std::uint64_t at, const std::string& field) {
  return path + ": byte " + std::to_string(at) + ": " + field;
}

void GgufCursor::fail(const std::string& message, std::uint64_t at, const std::string& hint) const {
  throw Error(ErrorKind::kData, "gguf: " + message, gguf_place(*path_, at, field_),
              hint.empty() ? "the file is damaged or was not written whole: get it again" : hint);
}

void GgufCursor::need(std::uint64_t bytes, const char* what) const {
  if (bytes > left()) {
    fail(std::string(what) + " needs " + std::to_string(bytes) +
             " bytes, but the file ends after " + std::to_string(left()),
         at_);
  }
}

std::string_view GgufCursor::text(const char* what) {
  const auto length = number<std::uint64_t>(what);
  need(length, what);
  const std::string_view text = file_.substr(at_, length);
  at_ += length;
  return text;
}

void GgufCursor::skip(std::uint64_t bytes, const char* what) {
  need(bytes, what);
  at_ += bytes;
}

bool is_printable_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
    const unsigned first = byte(i);
    const std::size_t length = first < 0x80              ? 1
                               : (first & 0xE0U) == 0xC0 ? 2
                               : (first & 0xF0U) == 0xE0 ? 3
                               : (first & 0xF8U) == 0xF0 ? 4
                                                         : 0;
    if (length == 0 || length > text.size() - i) {
      return false;
    }
    unsigned code = length == 1 ? first : first & (0x7FU >> length);
    for (std::size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xC0U) != 0x80) {
        return false;
      }
      code = code << 6 | (byte(i + k) & 0x3FU);
    }
    constexpr unsigned kSmallest[] = {0, 0x20, 0x80, 0x800,
                                      0x10000};  // by length: no overlong form
    if (code < kSmallest[length] || code > 0x10FFFF || code == 0x7F ||
        (code >= 0xD800 && code < 0xE000)) {
      return false;
    }
    i += length;
  }
  return true;
}

}  // namespace finescale
