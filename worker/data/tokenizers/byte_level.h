// SPDX-License-Identifier: Apache-2.0
// GPT-2's printable stand-in of each byte: vocabularies of byte-level tokenizers are written in it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace finescale {

[[nodiscard]] const std::string& byte_character(unsigned char byte);
[[nodiscard]] std::string to_byte_characters(std::string_view bytes);
// The bytes that `characters` stands for; none when some character stands for no byte.
[[nodiscard]] std::optional<std::string> from_byte_characters(std::string_view characters);

}  // namespace finescale
