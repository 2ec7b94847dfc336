// SPDX-License-Identifier: Apache-2.0
// A template as tokens, white space already cut as Jinja does with trim_blocks and lstrip_blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "worker/data/jinja/fault.h"

namespace finescale::jinja {

enum class TokenKind {
  kText,
  kBlockBegin,
  kBlockEnd,
  kPrintBegin,
  kPrintEnd,
  kName,
  kInteger,
  kReal,
  kString,  // with its escapes resolved
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1;
};

// Throws SyntaxFault.
[[nodiscard]] std::vector<Token> tokenize(std::string_view source);

}  // namespace finescale::jinja
