// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tasks/words.h"

#include <algorithm>
#include <charconv>

namespace finescale {

std::vector<std::string_view> split_at(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  for (std::size_t begin = 0;;) {
    const std::size_t end = text.find(separator, begin);
    pieces.push_back(text.substr(begin, end == std::string_view::npos ? end : end - begin));
    if (end == std::string_view::npos) {
      return pieces;
    }
    begin = end + 1;
  }
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  constexpr std::size_t kMaxDigits = 15;
  const bool is_digits =
      !text.empty() && text.size() <= kMaxDigits &&
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!is_digits || (text.size() > 1 && text.front() == '0')) {
    return std::nullopt;
  }
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string invented_word(std::uint64_t index) {
  constexpr std::string_view kConsonants = "bdfgklmnprstvz";
  constexpr std::string_view kVowels = "aeiou";
  constexpr std::uint64_t kSyllables = kConsonants.size() * kVowels.size();
  static_assert(kSyllables * kSyllables * kSyllables == kNumInventedWords);
  // Coprime to the number of words: neighbours in index look nothing alike.
  constexpr std::uint64_t kStride = 131071;
  std::uint64_t rest = index % kNumInventedWords * kStride % kNumInventedWords;
  std::string word;
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t syllable = rest % kSyllables;
    word += kConsonants[syllable / kVowels.size()];
    word += kVowels[syllable % kVowels.size()];
    rest /= kSyllables;
  }
  return word;
}

bool is_lower_word(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

}  // namespace finescale
