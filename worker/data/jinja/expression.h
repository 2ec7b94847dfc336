// SPDX-License-Identifier: Apache-2.0
// Expressions of a template as a tree. A node knows its line and how deep nodes lie below it.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "worker/data/jinja/context.h"

namespace finescale::jinja {

class Expression {
 public:
  Expression(int line, int depth) : line_(line), depth_(depth) {}
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;
  virtual ~Expression() = default;
  // Throws Fault; Context::line says where.
  [[nodiscard]] Value evaluate(Context& context) const {
    const Depth entered(context);
    context.budget().steps(1);
    context.line = line_;
    return compute(context);
  }
  [[nodiscard]] int line() const noexcept { return line_; }
  [[nodiscard]] int depth() const noexcept { return depth_; }

 private:
  [[nodiscard]] virtual Value compute(Context& context) const = 0;
  int line_;
  int depth_;
};

using ExpressionPtr = std::unique_ptr<Expression>;

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  [[nodiscard]] int depth() const;
  [[nodiscard]] Arguments evaluate(Context& context) const;
};

// Nodes; `line` is where the expression begins.
[[nodiscard]] ExpressionPtr make_literal(int line, Value value);
[[nodiscard]] ExpressionPtr make_name(int line, std::string name);
[[nodiscard]] ExpressionPtr make_list(int line, std::vector<ExpressionPtr> items, bool is_tuple);
[[nodiscard]] ExpressionPtr make_dict(int line,
                                      std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries);
// `operation` is the sign or word in the template: + - * / // % ** ~ and or.
[[nodiscard]] ExpressionPtr make_binary(int line, const std::string& operation, ExpressionPtr left,
                                        ExpressionPtr right);
[[nodiscard]] ExpressionPtr make_unary(int line, const std::string& operation,
                                       ExpressionPtr operand);  // not + -
// a < b <= c: each pair must hold.
[[nodiscard]] ExpressionPtr make_comparison(
    int line, ExpressionPtr first, std::vector<std::pair<std::string, ExpressionPtr>> others);
// `otherwise` may be null: undefined then.
[[nodiscard]] ExpressionPtr make_conditional(int line, ExpressionPtr condition, ExpressionPtr then,
                                             ExpressionPtr otherwise);
[[nodiscard]] ExpressionPtr make_attribute(int line, ExpressionPtr object, std::string name);
[[nodiscard]] ExpressionPtr make_subscript(int line, ExpressionPtr object, ExpressionPtr index);
// Each bound may be null.
[[nodiscard]] ExpressionPtr make_slice(int line, ExpressionPtr object,
                                       std::vector<ExpressionPtr> bounds);
[[nodiscard]] ExpressionPtr make_call(int line, ExpressionPtr callee, CallArguments arguments);
[[nodiscard]] ExpressionPtr make_filter(int line, ExpressionPtr value, const std::string& name,
                                        CallArguments arguments);
[[nodiscard]] ExpressionPtr make_test(int line, ExpressionPtr value, const std::string& name,
                                      CallArguments arguments, bool is_negated);

// What the operators do, for filters and tests too.
[[nodiscard]] Value add(Context& context, const Value& a, const Value& b);
[[nodiscard]] Value apply_binary(Context& context, const std::string& operation, const Value& a,
                                 const Value& b);
[[nodiscard]] bool compare(Context& context, const std::string& operation, const Value& a,
                           const Value& b);  // == != < <= > >= in, not in
[[nodiscard]] bool contains(Context& context, const Value& container, const Value& item);

// object.name and object[index] as Jinja reads them; undefined when there is nothing.
[[nodiscard]] Value get_attribute(Context& context, const Value& object, const std::string& name);
[[nodiscard]] Value get_item(Context& context, const Value& object, const Value& index);
[[nodiscard]] Value get_slice(Context& context, const Value& object, const Value& start,
                              const Value& stop, const Value& step);
// Throws Fault when the value cannot be called.
[[nodiscard]] Value call(Context& context, const Value& callee, Arguments& arguments);

}  // namespace finescale::jinja
