// SPDX-License-Identifier: Apache-2.0
// Strings as Python sees them: lengths and positions are code points, cases are Unicode's (ICU).
// Texts are UTF-8; a byte that is not counts as one code point.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace finescale::jinja {

[[nodiscard]] bool is_utf8(std::string_view text);
// Bytes of the code point at `at`.
[[nodiscard]] std::size_t code_point_size(std::string_view text, std::size_t at);
[[nodiscard]] std::size_t num_code_points(std::string_view text);
// Byte offset of a code point; the end when there are fewer.
[[nodiscard]] std::size_t byte_offset(std::string_view text, std::size_t code_point);

enum class Side { kLeft = 1, kRight = 2, kBoth = 3 };
// Without the characters of `characters` at its ends; white space when it is empty and `given` is
// false.
[[nodiscard]] std::string_view strip(std::string_view text, Side side = Side::kBoth,
                                     std::string_view characters = {}, bool given = false);

[[nodiscard]] std::string upper(std::string_view text);
[[nodiscard]] std::string lower(std::string_view text);
[[nodiscard]] std::string capitalize(std::string_view text);  // first letter, the rest lower
[[nodiscard]] std::string title(std::string_view text);       // as Python's str.title

// Whether there is a character and every one is of the class.
[[nodiscard]] bool all_space(std::string_view text);
[[nodiscard]] bool all_digits(std::string_view text);
[[nodiscard]] bool all_letters(std::string_view text);
[[nodiscard]] bool all_letters_or_digits(std::string_view text);

// At white space; max < 0: no limit.
[[nodiscard]] std::vector<std::string> split_words(std::string_view text, std::int64_t max);
[[nodiscard]] std::vector<std::string> split_lines(std::string_view text, bool keep_ends);
// Throws nothing; separator is not empty.
[[nodiscard]] std::vector<std::string> split(std::string_view text, std::string_view separator,
                                             std::int64_t max, bool from_right);
[[nodiscard]] std::string replace(std::string_view text, std::string_view from, std::string_view to,
                                  std::int64_t max);
// As Python's repr of a str.
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace finescale::jinja
