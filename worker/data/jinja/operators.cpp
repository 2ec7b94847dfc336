// SPDX-License-Identifier: Apache-2.0
// Operators as nodes of the tree.
#include "worker/data/jinja/expression.h"

namespace finescale::jinja {

namespace {

class Binary : public Expression {
 public:
  Binary(int line, std::string operation, ExpressionPtr left, ExpressionPtr right)
      : Expression(line, 1 + std::max(left->depth(), right->depth())),
        operation_(std::move(operation)),
        left_(std::move(left)),
        right_(std::move(right)) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override {
    Value left = left_->evaluate(context);
    if (operation_ == "and" || operation_ == "or") {  // gives an operand, not a bool
      return is_true(left) == (operation_ == "or") ? left : right_->evaluate(context);
    }
    const Value right = right_->evaluate(context);
    context.line = line();
    return apply_binary(context, operation_, left, right);
  }
  std::string operation_;
  ExpressionPtr left_;
  ExpressionPtr right_;
};

class Unary : public Expression {
 public:
  Unary(int line, std::string operation, ExpressionPtr operand)
      : Expression(line, 1 + operand->depth()),
        operation_(std::move(operation)),
        operand_(std::move(operand)) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override {
    const Value value = operand_->evaluate(context);
    if (operation_ == "not") {
      return !is_true(value);
    }
    if (const double* real = value.real()) {
      return operation_ == "-" ? -*real : *real;
    }
    context.line = line();
    return apply_binary(context, operation_, std::int64_t{0}, value);
  }
  std::string operation_;
  ExpressionPtr operand_;
};

class Comparison : public Expression {
 public:
  using Others = std::vector<std::pair<std::string, ExpressionPtr>>;
  Comparison(int line, ExpressionPtr first, Others others)
      : Expression(line, 1 + depth_of(*first, others)),
        first_(std::move(first)),
        others_(std::move(others)) {}

 private:
  static int depth_of(const Expression& first, const Others& others) {
    int depth = first.depth();
    for (const auto& [operation, other] : others) {
      depth = std::max(depth, other->depth());
    }
    return depth;
  }
  [[nodiscard]] Value compute(Context& context) const override {
    Value left = first_->evaluate(context);
    for (const auto& [operation, other] : others_) {
      Value right = other->evaluate(context);
      context.line = line();
      if (!compare(context, operation, left, right)) {
        return false;
      }
      left = std::move(right);
    }
    return true;
  }
  ExpressionPtr first_;
  Others others_;
};

}  // namespace

ExpressionPtr make_binary(int line, const std::string& operation, ExpressionPtr left,
                          ExpressionPtr right) {
  return std::make_unique<Binary>(line, operation, std::move(left), std::move(right));
}
ExpressionPtr make_unary(int line, const std::string& operation, ExpressionPtr operand) {
  return std::make_unique<Unary>(line, operation, std::move(operand));
}
ExpressionPtr make_comparison(int line, ExpressionPtr first,
                              std::vector<std::pair<std::string, ExpressionPtr>> others) {
  return std::make_unique<Comparison>(line, std::move(first), std::move(others));
}

}  // namespace finescale::jinja
