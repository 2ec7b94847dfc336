// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/expression_parser.h"

#include <charconv>
#include <cstdlib>

namespace finescale::jinja {

// Bounds the recursion: parentheses, arguments, signs.
class ExpressionParser::Nesting {
 public:
  explicit Nesting(ExpressionParser& parser) : parser_(parser) {
    if (++parser_.nesting_ > kMaxParseDepth) {
      --parser_.nesting_;
      parser_.tokens_.fail("expressions lie more than " + std::to_string(kMaxParseDepth) +
                           " deep in each other");
    }
  }
  ~Nesting() { --parser_.nesting_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  ExpressionParser& parser_;
};

ExpressionPtr ExpressionParser::checked(ExpressionPtr node) const {
  if (node->depth() > kMaxNodeDepth) {
    throw SyntaxFault{"an expression has more than " + std::to_string(kMaxNodeDepth) +
                          " operations in each other",
                      node->line()};
  }
  return node;
}

ExpressionPtr ExpressionParser::parse() {
  const Nesting nested(*this);
  ExpressionPtr value = parse_or();
  while (tokens_.sees_name("if")) {
    const int line = tokens_.take().line;
    ExpressionPtr condition = parse_or();
    ExpressionPtr otherwise = tokens_.take_name("else") ? parse() : nullptr;
    value = checked(
        make_conditional(line, std::move(condition), std::move(value), std::move(otherwise)));
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_tuple(bool with_conditional) {
  const int line = tokens_.line();
  const auto element = [&] { return with_conditional ? parse() : parse_or(); };
  ExpressionPtr first = element();
  if (!tokens_.sees_operator(",")) {
    return first;
  }
  std::vector<ExpressionPtr> items;
  items.push_back(std::move(first));
  while (tokens_.take_operator(",")) {
    if (tokens_.sees(TokenKind::kBlockEnd) || tokens_.sees(TokenKind::kPrintEnd) ||
        tokens_.sees_operator(")")) {
      break;
    }
    items.push_back(element());
  }
  return checked(make_list(line, std::move(items), true));
}

ExpressionPtr ExpressionParser::parse_chain(Rule operand,
                                            std::initializer_list<std::string_view> operators) {
  ExpressionPtr left = (this->*operand)();
  const auto is_one = [&] {
    const Token& token = tokens_.peek();
    return (token.kind == TokenKind::kOperator || token.kind == TokenKind::kName) &&
           std::find(operators.begin(), operators.end(), token.text) != operators.end();
  };
  while (is_one()) {
    const Token& token = tokens_.take();
    const std::string operation = token.text;
    const int line = token.line;
    left = checked(make_binary(line, operation, std::move(left), (this->*operand)()));
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_or() {
  return parse_chain(&ExpressionParser::parse_and, {"or"});
}
ExpressionPtr ExpressionParser::parse_and() {
  return parse_chain(&ExpressionParser::parse_not, {"and"});
}
ExpressionPtr ExpressionParser::parse_sum() {
  return parse_chain(&ExpressionParser::parse_concatenation, {"+", "-"});
}
ExpressionPtr ExpressionParser::parse_concatenation() {
  return parse_chain(&ExpressionParser::parse_product, {"~"});
}
ExpressionPtr ExpressionParser::parse_product() {
  return parse_chain(&ExpressionParser::parse_power, {"*", "/", "//", "%"});
}
ExpressionPtr ExpressionParser::parse_power() {
  return parse_chain(&ExpressionParser::parse_signed, {"**"});
}
ExpressionPtr ExpressionParser::parse_signed() {
  return parse_unary(true);
}

ExpressionPtr ExpressionParser::parse_not() {
  const Nesting nested(*this);
  if (tokens_.sees_name("not")) {
    const int line = tokens_.take().line;
    return checked(make_unary(line, "not", parse_not()));
  }
  return parse_comparison();
}

ExpressionPtr ExpressionParser::parse_comparison() {
  const int line = tokens_.line();
  ExpressionPtr first = parse_sum();
  std::vector<std::pair<std::string, ExpressionPtr>> others;
  while (true) {
    std::string operation;
    for (const char* const known : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (tokens_.take_operator(known)) {
        operation = known;
        break;
      }
    }
    if (operation.empty() && tokens_.take_name("in")) {
      operation = "in";
    } else if (operation.empty() && tokens_.sees_name("not") &&
               tokens_.peek(1).kind == TokenKind::kName && tokens_.peek(1).text == "in") {
      tokens_.take();
      tokens_.take();
      operation = "not in";
    }
    if (operation.empty()) {
      break;
    }
    others.emplace_back(operation, parse_sum());
  }
  return others.empty() ? std::move(first)
                        : checked(make_comparison(line, std::move(first), std::move(others)));
}

ExpressionPtr ExpressionParser::parse_unary(bool with_filters) {
  const Nesting nested(*this);
  const int line = tokens_.line();
  ExpressionPtr value;
  for (const char* const sign : {"-", "+"}) {
    if (value == nullptr && tokens_.take_operator(sign)) {
      value = checked(make_unary(line, sign, parse_unary(false)));
    }
  }
  if (value == nullptr) {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  return with_filters ? parse_filters(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::parse_primary() {
  const Token& token = tokens_.peek();
  const int line = token.line;
  switch (token.kind) {
    case TokenKind::kName: {
      const std::string name = tokens_.take().text;
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        return make_literal(line, (name.front() | 0x20) == 't');
      }
      return name == "none" || name == "None" ? make_literal(line, None{}) : make_name(line, name);
    }
    case TokenKind::kString: {
      std::string text;  // neighbours are one string
      while (tokens_.sees(TokenKind::kString)) {
        text += tokens_.take().text;
      }
      return make_literal(line, Value(std::move(text)));
    }
    case TokenKind::kInteger:
    case TokenKind::kReal:
      return parse_number();
    case TokenKind::kOperator:
      if (token.text == "(") {
        return parse_group();
      }
      if (token.text == "[") {
        return parse_list();
      }
      if (token.text == "{") {
        return parse_dict();
      }
      break;
    case TokenKind::kText:
    case TokenKind::kBlockBegin:
    case TokenKind::kBlockEnd:
    case TokenKind::kPrintBegin:
    case TokenKind::kPrintEnd:
    case TokenKind::kEnd:
      break;
  }
  tokens_.fail("expected a value");
}

ExpressionPtr ExpressionParser::parse_number() {
  const Token& token = tokens_.take();
  if (token.kind == TokenKind::kReal) {
    return make_literal(token.line, std::strtod(token.text.c_str(), nullptr));
  }
  int base = 10;
  std::string_view digits = token.text;
  if (digits.size() > 1 && digits[0] == '0' && (digits[1] < '0' || digits[1] > '9')) {
    const char kind = static_cast<char>(digits[1] | 0x20);
    base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
    digits.remove_prefix(2);
  }
  std::int64_t number = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (read.ec != std::errc() || read.ptr != digits.data() + digits.size()) {
    throw SyntaxFault{"'" + token.text.substr(0, 40) + "' is no integer of 64 bits", token.line};
  }
  return make_literal(token.line, number);
}

ExpressionPtr ExpressionParser::parse_group() {
  const int line = tokens_.take().line;
  if (tokens_.take_operator(")")) {
    return make_list(line, {}, true);
  }
  ExpressionPtr value = parse_tuple();
  tokens_.expect_operator(")");
  return value;
}

ExpressionPtr ExpressionParser::parse_list() {
  const int line = tokens_.take().line;
  std::vector<ExpressionPtr> items;
  while (!tokens_.sees_operator("]")) {
    items.push_back(parse());
    if (!tokens_.take_operator(",")) {
      break;
    }
  }
  tokens_.expect_operator("]");
  return checked(make_list(line, std::move(items), false));
}

ExpressionPtr ExpressionParser::parse_dict() {
  const int line = tokens_.take().line;
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
  while (!tokens_.sees_operator("}")) {
    ExpressionPtr key = parse();
    tokens_.expect_operator(":");
    entries.emplace_back(std::move(key), parse());
    if (entries.size() > kMaxDictLiteral) {
      tokens_.fail("a dict has more than " + std::to_string(kMaxDictLiteral) + " entries");
    }
    if (!tokens_.take_operator(",")) {
      break;
    }
  }
  tokens_.expect_operator("}");
  return checked(make_dict(line, std::move(entries)));
}

}  // namespace finescale::jinja
