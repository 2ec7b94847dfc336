// SPDX-License-Identifier: Apache-2.0
#include "worker/data/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "core/error.h"
#include "core/unique_handle.h"

namespace finescale {

namespace {

struct CodeTraits {
  using Handle = pcre2_code*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { pcre2_code_free(handle); }
};
struct MatchTraits {
  using Handle = pcre2_match_data*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { pcre2_match_data_free(handle); }
};

}  // namespace

struct PreTokenizer::Pattern {
  UniqueHandle<CodeTraits> code;
  UniqueHandle<MatchTraits> match;
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::~PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;

void PreTokenizer::add_pattern(const std::string& pattern) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_unique<Pattern>();
  compiled->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &code,
                                     &offset, nullptr));
  if (!compiled->code) {
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(code, text.data(), text.size());
    throw Error(ErrorKind::kData, "pre-tokenizer pattern: " +
                                      std::string(reinterpret_cast<const char*>(text.data())) +
                                      " at offset " + std::to_string(offset));
  }
  pcre2_jit_compile(compiled->code.get(),
                    PCRE2_JIT_COMPLETE);  // without a JIT the interpreter does it
  compiled->match.reset(pcre2_match_data_create_from_pattern(compiled->code.get(), nullptr));
  patterns_.push_back(std::move(compiled));
}

void PreTokenizer::split_piece(const Pattern& pattern, std::string_view piece,
                               std::vector<std::string_view>& pieces) {
  PCRE2_SIZE begin = 0;
  while (begin < piece.size()) {
    const int count = pcre2_match(pattern.code.get(), reinterpret_cast<PCRE2_SPTR>(piece.data()),
                                  piece.size(), begin, 0, pattern.match.get(), nullptr);
    if (count < 0) {
      break;
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(pattern.match.get());
    if (bounds[1] == bounds[0]) {
      break;  // an empty match would never advance
    }
    if (bounds[0] > begin) {
      pieces.push_back(piece.substr(begin, bounds[0] - begin));
    }
    pieces.push_back(piece.substr(bounds[0], bounds[1] - bounds[0]));
    begin = bounds[1];
  }
  if (begin < piece.size()) {
    pieces.push_back(piece.substr(begin));
  }
}

void PreTokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  pieces.clear();
  if (!text.empty()) {
    pieces.push_back(text);
  }
  std::vector<std::string_view> next;
  for (const auto& pattern : patterns_) {
    next.clear();
    for (const std::string_view piece : pieces) {
      split_piece(*pattern, piece, next);
    }
    pieces.swap(next);
  }
}

}  // namespace finescale
