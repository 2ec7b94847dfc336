// SPDX-License-Identifier: Apache-2.0
// Calls, filters and tests as nodes of the tree.
#include "worker/data/jinja/expression.h"
#include "worker/data/jinja/filters.h"
#include "worker/data/jinja/tests.h"

namespace finescale::jinja {

namespace {

class Call : public Expression {
 public:
  Call(int line, ExpressionPtr callee, CallArguments arguments)
      : Expression(line, 1 + std::max(callee->depth(), arguments.depth())),
        callee_(std::move(callee)),
        arguments_(std::move(arguments)) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override {
    const Value callee = callee_->evaluate(context);
    Arguments arguments = arguments_.evaluate(context);
    context.line = line();
    return jinja::call(context, callee, arguments);
  }
  ExpressionPtr callee_;
  CallArguments arguments_;
};

class FilterNode : public Expression {
 public:
  FilterNode(int line, ExpressionPtr value, const std::string& name, CallArguments arguments)
      : Expression(line, 1 + std::max(value->depth(), arguments.depth())),
        value_(std::move(value)),
        name_(name),
        filter_(find_filter(name)),
        arguments_(std::move(arguments)) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override {
    const Value value = value_->evaluate(context);
    Arguments arguments = arguments_.evaluate(context);
    context.line = line();
    if (filter_ == nullptr) {  // as Jinja: only where it is reached
      throw Fault{"there is no filter " + name_};
    }
    context.visit(value);
    return filter_(context, value, arguments);
  }
  ExpressionPtr value_;
  std::string name_;
  Filter filter_;
  CallArguments arguments_;
};

class TestNode : public Expression {
 public:
  TestNode(int line, ExpressionPtr value, const std::string& name, CallArguments arguments,
           bool is_negated)
      : Expression(line, 1 + std::max(value->depth(), arguments.depth())),
        value_(std::move(value)),
        name_(name),
        test_(find_test(name)),
        arguments_(std::move(arguments)),
        is_negated_(is_negated) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override {
    const Value value = value_->evaluate(context);
    Arguments arguments = arguments_.evaluate(context);
    context.line = line();
    if (test_ == nullptr) {
      throw Fault{"there is no test " + name_};
    }
    return test_(context, value, arguments) != is_negated_;
  }
  ExpressionPtr value_;
  std::string name_;
  Test test_;
  CallArguments arguments_;
  bool is_negated_;
};

}  // namespace

int CallArguments::depth() const {
  int depth = 0;
  for (const ExpressionPtr& value : positional) {
    depth = std::max(depth, value->depth());
  }
  for (const auto& [name, value] : named) {
    depth = std::max(depth, value->depth());
  }
  return depth;
}

Arguments CallArguments::evaluate(Context& context) const {
  Arguments out;
  for (const ExpressionPtr& value : positional) {
    out.positional.push_back(value->evaluate(context));
  }
  for (const auto& [name, value] : named) {
    out.named.emplace_back(name, value->evaluate(context));
  }
  return out;
}

ExpressionPtr make_call(int line, ExpressionPtr callee, CallArguments arguments) {
  return std::make_unique<Call>(line, std::move(callee), std::move(arguments));
}
ExpressionPtr make_filter(int line, ExpressionPtr value, const std::string& name,
                          CallArguments arguments) {
  return std::make_unique<FilterNode>(line, std::move(value), name, std::move(arguments));
}
ExpressionPtr make_test(int line, ExpressionPtr value, const std::string& name,
                        CallArguments arguments, bool is_negated) {
  return std::make_unique<TestNode>(line, std::move(value), name, std::move(arguments), is_negated);
}

}  // namespace finescale::jinja
