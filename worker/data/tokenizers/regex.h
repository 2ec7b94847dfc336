// SPDX-License-Identifier: Apache-2.0
// A pattern of tokenizer.json: a text or a regular expression, compiled by PCRE2 with its JIT.
// Bytes that are not UTF-8 never match. Use from one thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "worker/data/tokenizers/json_node.h"

namespace finescale {

struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

class Regex {
 public:
  // {"String": ...} or {"Regex": ...}, in Oniguruma's syntax. Throws kData naming the place.
  explicit Regex(const JsonNode& node);
  Regex(std::string_view onig, const JsonNode& place);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  // All matches from left to right. As Oniguruma's iterator: an empty match is left out where the
  // last match ended.
  void find_all(std::string_view text, std::vector<Span>& out) const;
  [[nodiscard]] const std::string& source() const noexcept { return source_; }
  [[nodiscard]] bool is_literal() const noexcept { return program_ == nullptr; }

 private:
  struct Program;
  void compile(const JsonNode& place);

  std::string source_;
  std::unique_ptr<Program> program_;  // none: source_ is searched for as it is
};

}  // namespace finescale
