// SPDX-License-Identifier: Apache-2.0
// Strings and numbers as templates write them, which is Python's way.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace finescale::jinja {

// `text` begins with the quote. Sets the size of the literal with its quotes and what it means;
// returns null, or what is wrong.
[[nodiscard]] const char* read_string_literal(std::string_view text, std::size_t* size,
                                              std::string* meaning);

// Bytes of the number at the beginning of `text`: 12, 1_000, 0x1f, 1.5, 2e3; without fraction and
// exponent when only an integer may stand there.
[[nodiscard]] std::size_t number_size(std::string_view text, bool only_integer, bool* is_real);

}  // namespace finescale::jinja
