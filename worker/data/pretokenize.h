// SPDX-License-Identifier: Apache-2.0
// Cuts text into pieces by a chain of regular expressions (PCRE2, Unicode). Matches and the gaps
// between them become pieces; bytes that are not UTF-8 never match and stay whole as gaps.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace finescale {

inline constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class PreTokenizer {
 public:
  PreTokenizer();
  ~PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  // Throws kData with the position of the fault in the pattern.
  void add_pattern(const std::string& pattern);
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  struct Pattern;
  // Appends the matches of the pattern in `piece` and what lies between them.
  static void split_piece(const Pattern& pattern, std::string_view piece,
                          std::vector<std::string_view>& pieces);
  std::vector<std::unique_ptr<Pattern>> patterns_;
};

}  // namespace finescale
