// SPDX-License-Identifier: Apache-2.0
// Small parts of task texts: words apart, whole numbers, invented words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace finescale {

// Pieces between separators; empty pieces are kept.
[[nodiscard]] std::vector<std::string_view> split_at(std::string_view text, char separator);

// A whole number >= 0 as it is written shortest: no sign, no zeros in front, at most 15 digits.
[[nodiscard]] std::optional<std::int64_t> whole_number(std::string_view text);

// Different for every index below kNumInventedWords: three syllables, "bamiro".
inline constexpr std::uint64_t kNumInventedWords = 343000;
[[nodiscard]] std::string invented_word(std::uint64_t index);
[[nodiscard]] bool is_lower_word(std::string_view text);  // a to z, not empty

}  // namespace finescale
