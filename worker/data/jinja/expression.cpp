// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/expression.h"

namespace finescale::jinja {

namespace {

int below(const ExpressionPtr& node) {
  return node == nullptr ? 0 : node->depth();
}
int below(const std::vector<ExpressionPtr>& nodes) {
  int depth = 0;
  for (const ExpressionPtr& node : nodes) {
    depth = std::max(depth, below(node));
  }
  return depth;
}

class Literal : public Expression {
 public:
  Literal(int line, Value value) : Expression(line, 1), value_(std::move(value)) {}

 private:
  [[nodiscard]] Value compute(Context& /*context*/) const override { return value_; }
  Value value_;
};

class Name : public Expression {
 public:
  Name(int line, std::string name) : Expression(line, 1), name_(std::move(name)) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override { return context.lookup(name_); }
  std::string name_;
};

class ListNode : public Expression {
 public:
  ListNode(int line, std::vector<ExpressionPtr> items, bool is_tuple)
      : Expression(line, 1 + below(items)), items_(std::move(items)), is_tuple_(is_tuple) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override {
    std::vector<Value> values;
    for (const ExpressionPtr& item : items_) {
      values.push_back(item->evaluate(context));
    }
    return context.list(std::move(values), is_tuple_ ? List::Kind::kTuple : List::Kind::kList);
  }
  std::vector<ExpressionPtr> items_;
  bool is_tuple_;
};

class DictNode : public Expression {
 public:
  using Entries = std::vector<std::pair<ExpressionPtr, ExpressionPtr>>;
  DictNode(int line, Entries entries)
      : Expression(line, 1 + depth_of(entries)), entries_(std::move(entries)) {}

 private:
  static int depth_of(const Entries& entries) {
    int depth = 0;
    for (const auto& [key, value] : entries) {
      depth = std::max({depth, key->depth(), value->depth()});
    }
    return depth;
  }
  [[nodiscard]] Value compute(Context& context) const override {
    Dict dict;
    for (const auto& [key, value] : entries_) {
      Value name = key->evaluate(context);
      dict.set(std::move(name), value->evaluate(context));
      context.budget().steps(static_cast<std::int64_t>(dict.entries.size()) / 8);
    }
    context.budget().memory(dict.entries.size() * 2 * sizeof(Value));
    return Value(std::move(dict));
  }
  Entries entries_;
};

class Conditional : public Expression {
 public:
  Conditional(int line, ExpressionPtr condition, ExpressionPtr then, ExpressionPtr otherwise)
      : Expression(line, 1 + std::max({below(condition), below(then), below(otherwise)})),
        condition_(std::move(condition)),
        then_(std::move(then)),
        otherwise_(std::move(otherwise)) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override {
    if (is_true(condition_->evaluate(context))) {
      return then_->evaluate(context);
    }
    return otherwise_ == nullptr ? Value() : otherwise_->evaluate(context);
  }
  ExpressionPtr condition_;
  ExpressionPtr then_;
  ExpressionPtr otherwise_;
};

class AttributeAccess : public Expression {
 public:
  AttributeAccess(int line, ExpressionPtr object, std::string name)
      : Expression(line, 1 + below(object)), object_(std::move(object)), name_(std::move(name)) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override {
    const Value object = object_->evaluate(context);
    context.line = line();
    return get_attribute(context, object, name_);
  }
  ExpressionPtr object_;
  std::string name_;
};

class Subscript : public Expression {
 public:
  Subscript(int line, ExpressionPtr object, ExpressionPtr index)
      : Expression(line, 1 + std::max(below(object), below(index))),
        object_(std::move(object)),
        index_(std::move(index)) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override {
    const Value object = object_->evaluate(context);
    const Value index = index_->evaluate(context);
    context.line = line();
    return get_item(context, object, index);
  }
  ExpressionPtr object_;
  ExpressionPtr index_;
};

class Slice : public Expression {
 public:
  Slice(int line, ExpressionPtr object, std::vector<ExpressionPtr> bounds)
      : Expression(line, 1 + std::max(below(object), below(bounds))),
        object_(std::move(object)),
        bounds_(std::move(bounds)) {}

 private:
  [[nodiscard]] Value compute(Context& context) const override {
    const Value object = object_->evaluate(context);
    std::vector<Value> bounds;
    for (const ExpressionPtr& bound : bounds_) {
      bounds.push_back(bound == nullptr ? Value(None{}) : bound->evaluate(context));
    }
    bounds.resize(3, Value(None{}));
    context.line = line();
    return get_slice(context, object, bounds[0], bounds[1], bounds[2]);
  }
  ExpressionPtr object_;
  std::vector<ExpressionPtr> bounds_;
};

}  // namespace

ExpressionPtr make_literal(int line, Value value) {
  return std::make_unique<Literal>(line, std::move(value));
}
ExpressionPtr make_name(int line, std::string name) {
  return std::make_unique<Name>(line, std::move(name));
}
ExpressionPtr make_list(int line, std::vector<ExpressionPtr> items, bool is_tuple) {
  return std::make_unique<ListNode>(line, std::move(items), is_tuple);
}
ExpressionPtr make_dict(int line, std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries) {
  return std::make_unique<DictNode>(line, std::move(entries));
}
ExpressionPtr make_conditional(int line, ExpressionPtr condition, ExpressionPtr then,
                               ExpressionPtr otherwise) {
  return std::make_unique<Conditional>(line, std::move(condition), std::move(then),
                                       std::move(otherwise));
}
ExpressionPtr make_attribute(int line, ExpressionPtr object, std::string name) {
  return std::make_unique<AttributeAccess>(line, std::move(object), std::move(name));
}
ExpressionPtr make_subscript(int line, ExpressionPtr object, ExpressionPtr index) {
  return std::make_unique<Subscript>(line, std::move(object), std::move(index));
}
ExpressionPtr make_slice(int line, ExpressionPtr object, std::vector<ExpressionPtr> bounds) {
  return std::make_unique<Slice>(line, std::move(object), std::move(bounds));
}
}  // namespace finescale::jinja
