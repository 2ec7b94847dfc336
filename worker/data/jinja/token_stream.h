// SPDX-License-Identifier: Apache-2.0
// Tokens one after the other, with what a parser asks of them.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "worker/data/jinja/lexer.h"

namespace finescale::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  [[nodiscard]] const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  [[nodiscard]] bool sees(TokenKind kind) const { return peek().kind == kind; }
  [[nodiscard]] bool sees_name(std::string_view name) const {
    return sees(TokenKind::kName) && peek().text == name;
  }
  [[nodiscard]] bool sees_operator(std::string_view text) const {
    return sees(TokenKind::kOperator) && peek().text == text;
  }
  const Token& take() {
    const Token& token = peek();
    at_ += at_ + 1 < tokens_.size() ? 1 : 0;
    return token;
  }
  bool take_name(std::string_view name) { return sees_name(name) && (take(), true); }
  bool take_operator(std::string_view text) { return sees_operator(text) && (take(), true); }
  const Token& expect(TokenKind kind, const char* what) {
    if (!sees(kind)) {
      fail(std::string("expected ") + what);
    }
    return take();
  }
  void expect_operator(std::string_view text) {
    if (!take_operator(text)) {
      fail("expected '" + std::string(text) + "'");
    }
  }
  // Adds what is there instead.
  [[noreturn]] void fail(const std::string& message) const {
    throw SyntaxFault{message + ", found " + found(), peek().line};
  }
  [[nodiscard]] int line() const { return peek().line; }

 private:
  [[nodiscard]] std::string found() const {
    switch (peek().kind) {
      case TokenKind::kText:
        return "text";
      case TokenKind::kBlockBegin:
        return "'{%'";
      case TokenKind::kBlockEnd:
        return "'%}'";
      case TokenKind::kPrintBegin:
        return "'{{'";
      case TokenKind::kPrintEnd:
        return "'}}'";
      case TokenKind::kString:
        return "a string";
      case TokenKind::kEnd:
        return "the end of the template";
      case TokenKind::kName:
      case TokenKind::kInteger:
      case TokenKind::kReal:
      case TokenKind::kOperator:
        break;
    }
    return "'" + peek().text.substr(0, 40) + "'";
  }

  std::vector<Token> tokens_;  // ends with kEnd
  std::size_t at_ = 0;
};

}  // namespace finescale::jinja
