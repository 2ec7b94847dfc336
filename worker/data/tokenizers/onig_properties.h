// SPDX-License-Identifier: Apache-2.0
// Oniguruma's character properties as items of a PCRE2 class, with the characters that are newer
// than PCRE2's tables.
#pragma once

#include <optional>
#include <string>

namespace finescale {

[[nodiscard]] std::string hex_escape(char32_t code);                     // \x{41}
[[nodiscard]] const std::string& word_items();                           // of \w in a class
[[nodiscard]] const std::string& lone_word_items();                      // of \w alone: a few more
[[nodiscard]] std::optional<std::string> posix_items(std::string name);  // of [:name:]
[[nodiscard]] std::string property_items(const std::string& name);       // of \p{name}

}  // namespace finescale
