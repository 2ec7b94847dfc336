// SPDX-License-Identifier: Apache-2.0
#include "worker/data/operators/pattern.h"

#include <array>
#include <utility>

#include "core/error.h"
#include "core/unique_handle.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

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

PCRE2_SPTR units(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

std::string pcre_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

struct Pattern::Program {
  UniqueHandle<CodeTraits> code;
  UniqueHandle<MatchTraits> match;
};

Pattern::~Pattern() = default;

Pattern::Pattern(const std::string& expression, std::string where)
    : program_(std::make_unique<Program>()), where_(std::move(where)) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  program_->code.reset(pcre2_compile(units(expression), expression.size(),
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &code,
                                     &offset, nullptr));
  if (!program_->code) {
    throw Error(ErrorKind::kConfig,
                "matches is no regular expression: " + pcre_message(code) + " at offset " +
                    std::to_string(offset),
                where_);
  }
  program_->match.reset(pcre2_match_data_create_from_pattern(program_->code.get(), nullptr));
}

bool Pattern::occurs_in(std::string_view text) const {
  const int count = pcre2_match(program_->code.get(), units(text), text.size(), 0, 0,
                                program_->match.get(), nullptr);
  if (count < 0 && count != PCRE2_ERROR_NOMATCH) {
    throw Error(ErrorKind::kData, "matches fails on an example: " + pcre_message(count), where_,
                "a simpler expression takes fewer steps");
  }
  return count >= 0;
}

}  // namespace finescale
