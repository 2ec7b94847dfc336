// SPDX-License-Identifier: Apache-2.0
// A regular expression of PCRE2 that a text may hold. Bytes that are not UTF-8 match nothing.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace finescale {

class Pattern {
 public:
  // Throws kConfig at `where`.
  Pattern(const std::string& expression, std::string where);
  ~Pattern();
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  // Throws kData when the search takes too many steps.
  [[nodiscard]] bool occurs_in(std::string_view text) const;

 private:
  struct Program;
  std::unique_ptr<Program> program_;
  std::string where_;
};

}  // namespace finescale
