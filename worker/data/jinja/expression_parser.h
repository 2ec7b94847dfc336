// SPDX-License-Identifier: Apache-2.0
// Expressions from tokens, with Jinja's precedence.
#pragma once

#include "worker/data/jinja/expression.h"
#include "worker/data/jinja/token_stream.h"

namespace finescale::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  // Each throws SyntaxFault.
  [[nodiscard]] ExpressionPtr parse();
  // a, b: a tuple; a alone: a. Without `if` when it is not allowed (what `for` goes over).
  [[nodiscard]] ExpressionPtr parse_tuple(bool with_conditional = true);
  [[nodiscard]] CallArguments parse_arguments();  // from the opening parenthesis on
  // | filter ... behind a value; the stream may begin behind the first bar.
  [[nodiscard]] ExpressionPtr parse_filters(ExpressionPtr value, bool behind_bar = false);
  [[nodiscard]] ExpressionPtr parse_postfix(ExpressionPtr value);
  [[nodiscard]] ExpressionPtr parse_primary();

 private:
  class Nesting;
  using Rule = ExpressionPtr (ExpressionParser::*)();
  [[nodiscard]] ExpressionPtr parse_or();
  [[nodiscard]] ExpressionPtr parse_and();
  [[nodiscard]] ExpressionPtr parse_not();
  [[nodiscard]] ExpressionPtr parse_comparison();
  [[nodiscard]] ExpressionPtr parse_sum();
  [[nodiscard]] ExpressionPtr parse_concatenation();
  [[nodiscard]] ExpressionPtr parse_product();
  [[nodiscard]] ExpressionPtr parse_power();
  [[nodiscard]] ExpressionPtr parse_signed();
  [[nodiscard]] ExpressionPtr parse_unary(bool with_filters);
  [[nodiscard]] ExpressionPtr parse_group();
  [[nodiscard]] ExpressionPtr parse_list();
  [[nodiscard]] ExpressionPtr parse_dict();
  [[nodiscard]] ExpressionPtr parse_number();
  [[nodiscard]] ExpressionPtr parse_subscript(ExpressionPtr object);
  [[nodiscard]] ExpressionPtr parse_test(ExpressionPtr value);
  [[nodiscard]] ExpressionPtr parse_one_filter(ExpressionPtr value);
  // left to right over any of these operators
  [[nodiscard]] ExpressionPtr parse_chain(Rule operand,
                                          std::initializer_list<std::string_view> operators);
  [[nodiscard]] ExpressionPtr checked(ExpressionPtr node) const;  // not too deep

  TokenStream& tokens_;
  int nesting_ = 0;
};

}  // namespace finescale::jinja
