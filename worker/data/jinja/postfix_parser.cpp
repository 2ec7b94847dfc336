// SPDX-License-Identifier: Apache-2.0
// What follows a value: attributes, items, calls, filters, tests.
#include "worker/data/jinja/expression_parser.h"

namespace finescale::jinja {

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr value) {
  while (true) {
    const int line = tokens_.line();
    if (tokens_.take_operator(".")) {
      if (tokens_.sees(TokenKind::kInteger)) {
        ExpressionPtr index = parse_number();
        value = make_subscript(line, std::move(value), std::move(index));
      } else {
        value = make_attribute(line, std::move(value),
                               tokens_.expect(TokenKind::kName, "the name of an attribute").text);
      }
    } else if (tokens_.sees_operator("[")) {
      value = parse_subscript(std::move(value));
    } else if (tokens_.sees_operator("(")) {
      value = make_call(line, std::move(value), parse_arguments());
    } else {
      return value;
    }
    value = checked(std::move(value));
  }
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr object) {
  const int line = tokens_.take().line;
  std::vector<ExpressionPtr> bounds;
  bool is_slice = false;
  while (true) {
    const bool is_empty = tokens_.sees_operator(":") || tokens_.sees_operator("]");
    bounds.push_back(is_empty ? nullptr : parse());
    if (!tokens_.take_operator(":")) {
      break;
    }
    is_slice = true;
  }
  tokens_.expect_operator("]");
  if (is_slice && bounds.size() <= 3) {
    return make_slice(line, std::move(object), std::move(bounds));
  }
  if (is_slice || bounds.front() == nullptr) {
    throw SyntaxFault{"[ ] must hold an index or a slice a:b:c", line};
  }
  return make_subscript(line, std::move(object), std::move(bounds.front()));
}

CallArguments ExpressionParser::parse_arguments() {
  CallArguments arguments;
  tokens_.expect_operator("(");
  while (!tokens_.sees_operator(")")) {
    if (tokens_.sees_operator("*") || tokens_.sees_operator("**")) {
      tokens_.fail("arguments by * and ** are not supported");
    }
    if (tokens_.sees(TokenKind::kName) && tokens_.peek(1).kind == TokenKind::kOperator &&
        tokens_.peek(1).text == "=") {
      const std::string name = tokens_.take().text;
      tokens_.take();
      arguments.named.emplace_back(name, parse());
    } else if (arguments.named.empty()) {
      arguments.positional.push_back(parse());
    } else {
      tokens_.fail("a named argument is followed by one without a name");
    }
    if (!tokens_.take_operator(",")) {
      break;
    }
  }
  tokens_.expect_operator(")");
  return arguments;
}

ExpressionPtr ExpressionParser::parse_filters(ExpressionPtr value, bool behind_bar) {
  while (true) {
    if (behind_bar || tokens_.take_operator("|")) {
      behind_bar = false;
      value = parse_one_filter(std::move(value));
    } else if (tokens_.sees_name("is")) {
      value = parse_test(std::move(value));
    } else if (tokens_.sees_operator("(")) {
      const int line = tokens_.line();
      value = make_call(line, std::move(value), parse_arguments());
    } else {
      return value;
    }
    value = checked(std::move(value));
  }
}

ExpressionPtr ExpressionParser::parse_one_filter(ExpressionPtr value) {
  const Token& token = tokens_.expect(TokenKind::kName, "the name of a filter");
  const std::string name = token.text;
  const int line = token.line;
  CallArguments arguments = tokens_.sees_operator("(") ? parse_arguments() : CallArguments();
  return make_filter(line, std::move(value), name, std::move(arguments));
}

// is [not] name, name(arguments) or name argument
ExpressionPtr ExpressionParser::parse_test(ExpressionPtr value) {
  const int line = tokens_.take().line;
  const bool is_negated = tokens_.take_name("not");
  const std::string name = tokens_.expect(TokenKind::kName, "the name of a test").text;
  CallArguments arguments;
  const auto begins_argument = [&] {
    switch (tokens_.peek().kind) {
      case TokenKind::kName:
        for (const char* const word : {"else", "or", "and", "if", "is", "in", "not", "recursive"}) {
          if (tokens_.sees_name(word)) {
            return false;
          }
        }
        return true;
      case TokenKind::kString:
      case TokenKind::kInteger:
      case TokenKind::kReal:
        return true;
      case TokenKind::kOperator:
        return tokens_.sees_operator("[") || tokens_.sees_operator("{");
      default:
        return false;
    }
  };
  if (tokens_.sees_operator("(")) {
    arguments = parse_arguments();
  } else if (begins_argument()) {
    arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  return make_test(line, std::move(value), name, std::move(arguments), is_negated);
}

}  // namespace finescale::jinja
