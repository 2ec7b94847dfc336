// SPDX-License-Identifier: Apache-2.0
#include "core/crc32c.h"

#include <array>
#include <cstddef>

namespace finescale {

namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    }
    table[byte] = value;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> kTable = make_table();

}  // namespace

std::uint32_t crc32c(std::string_view bytes) noexcept {
  std::uint32_t value = ~0U;
  for (const char byte : bytes) {
    value = kTable[(value ^ static_cast<std::uint8_t>(byte)) & 0xff] ^ (value >> 8);
  }
  return ~value;
}

}  // namespace finescale
