// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/byte_level.h"

#include <array>

#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

// Bytes 33-126, 161-172, 174-255 keep their code point, the other 68 follow from U+0100 in order.
bool keeps_code(int byte) noexcept {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

constexpr int kNumCodes = 0x100 + 68;

struct Table {
  std::array<std::string, 256> characters;
  std::array<std::int16_t, kNumCodes> byte_of;
};

const Table& table() {
  static const Table made = [] {
    Table filled;
    filled.byte_of.fill(-1);
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const int code = keeps_code(byte) ? byte : next++;
      filled.characters[static_cast<std::size_t>(byte)] = to_utf8(static_cast<char32_t>(code));
      filled.byte_of[static_cast<std::size_t>(code)] = static_cast<std::int16_t>(byte);
    }
    return filled;
  }();
  return made;
}

}  // namespace

const std::string& byte_character(unsigned char byte) {
  return table().characters[byte];
}

std::string to_byte_characters(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out += byte_character(static_cast<unsigned char>(c));
  }
  return out;
}

std::optional<std::string> from_byte_characters(std::string_view characters) {
  std::string out;
  out.reserve(characters.size());
  for (std::size_t i = 0; i < characters.size();) {
    const CodePoint c = decode_utf8(characters, i);
    if (c.length == 0 || c.value >= kNumCodes || table().byte_of[c.value] < 0) {
      return std::nullopt;
    }
    out += static_cast<char>(table().byte_of[c.value]);
    i += static_cast<std::size_t>(c.length);
  }
  return out;
}

}  // namespace finescale
