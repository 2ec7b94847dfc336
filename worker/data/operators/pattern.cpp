// SPDX-License-Identifier: Apache-2.0
#include "worker/data/operators/pattern.h"

#include <utility>

#include "core/error.h"
#include "worker/data/pcre.h"

namespace finescale {

struct Pattern::Program {
  PcreCode code;
  PcreMatch match;
};

Pattern::~Pattern() = default;

Pattern::Pattern(const std::string& expression, std::string where)
    : program_(std::make_unique<Program>()), where_(std::move(where)) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  program_->code.reset(pcre2_compile(pcre_units(expression), expression.size(),
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
  const int count = pcre2_match(program_->code.get(), pcre_units(text), text.size(), 0, 0,
                                program_->match.get(), nullptr);
  if (count < 0 && count != PCRE2_ERROR_NOMATCH) {
    throw Error(ErrorKind::kData, "matches fails on an example: " + pcre_message(count), where_,
                "a simpler expression takes fewer steps");
  }
  return count >= 0;
}

}  // namespace finescale
