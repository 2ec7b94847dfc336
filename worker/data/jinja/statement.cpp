// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/statement.h"

#include "worker/data/jinja/print.h"

namespace finescale::jinja {

namespace {

class TextStatement : public Statement {
 public:
  TextStatement(int line, std::string text) : Statement(line), text_(std::move(text)) {}

 private:
  [[nodiscard]] Flow run(Context& context) const override {
    context.write(text_);
    return Flow::kNext;
  }
  std::string text_;
};

class PrintStatement : public Statement {
 public:
  PrintStatement(int line, ExpressionPtr value) : Statement(line), value_(std::move(value)) {}

 private:
  [[nodiscard]] Flow run(Context& context) const override {
    const Value value = value_->evaluate(context);
    context.visit(value);
    if (value.text() != nullptr) {
      context.write(*value.text());
    } else {
      context.write(to_text(value));
    }
    return Flow::kNext;
  }
  ExpressionPtr value_;
};

class IfStatement : public Statement {
 public:
  using Branches = std::vector<std::pair<ExpressionPtr, Block>>;
  IfStatement(int line, Branches branches) : Statement(line), branches_(std::move(branches)) {}

 private:
  [[nodiscard]] Flow run(Context& context) const override {
    for (const auto& [condition, block] : branches_) {
      if (condition == nullptr || is_true(condition->evaluate(context))) {
        return jinja::execute(block, context);
      }
    }
    return Flow::kNext;
  }
  Branches branches_;
};

class SetStatement : public Statement {
 public:
  SetStatement(int line, Target target, ExpressionPtr value)
      : Statement(line), target_(std::move(target)), value_(std::move(value)) {}

 private:
  [[nodiscard]] Flow run(Context& context) const override {
    assign(target_, value_->evaluate(context), context);
    return Flow::kNext;
  }
  Target target_;
  ExpressionPtr value_;
};

// The text of a block, through its filters.
Value filtered_text(const Block& body, const Expression* filtered, Context& context) {
  const Value text = context.text(render_apart(body, context));
  if (filtered == nullptr) {
    return text;
  }
  Scope* const outer = context.scope();
  context.push_scope(outer);
  context.assign(kBlockText, text);
  Value out = filtered->evaluate(context);
  context.pop_scope(outer);
  return out;
}

class SetBlockStatement : public Statement {
 public:
  SetBlockStatement(int line, Target target, ExpressionPtr filtered, Block body)
      : Statement(line),
        target_(std::move(target)),
        filtered_(std::move(filtered)),
        body_(std::move(body)) {}

 private:
  [[nodiscard]] Flow run(Context& context) const override {
    assign(target_, filtered_text(body_, filtered_.get(), context), context);
    return Flow::kNext;
  }
  Target target_;
  ExpressionPtr filtered_;
  Block body_;
};

class FilterStatement : public Statement {
 public:
  FilterStatement(int line, ExpressionPtr filtered, Block body)
      : Statement(line), filtered_(std::move(filtered)), body_(std::move(body)) {}

 private:
  [[nodiscard]] Flow run(Context& context) const override {
    context.write(to_text(filtered_text(body_, filtered_.get(), context)));
    return Flow::kNext;
  }
  ExpressionPtr filtered_;
  Block body_;
};

class GenerationStatement : public Statement {
 public:
  GenerationStatement(int line, Block body) : Statement(line), body_(std::move(body)) {}

 private:
  [[nodiscard]] Flow run(Context& context) const override {
    if (context.in_buffer() && context.wants_ranges) {
      throw Fault{
          "a generation block inside a macro, a filter or a set block: where its text will "
          "stand is not known"};
    }
    const std::size_t begin = context.output().size();
    Scope* const outer = context.scope();
    context.push_scope(outer);
    const Flow flow = jinja::execute(body_, context);
    context.pop_scope(outer);
    if (!context.in_buffer()) {
      context.generated.push_back({begin, context.output().size()});
    }
    return flow;
  }
  Block body_;
};

class JumpStatement : public Statement {
 public:
  JumpStatement(int line, Flow flow) : Statement(line), flow_(flow) {}

 private:
  [[nodiscard]] Flow run(Context& /*context*/) const override { return flow_; }
  Flow flow_;
};

}  // namespace

Flow execute(const Block& block, Context& context) {
  for (const StatementPtr& statement : block) {
    const Flow flow = statement->execute(context);
    if (flow != Flow::kNext) {
      return flow;
    }
  }
  return Flow::kNext;
}

std::string render_apart(const Block& block, Context& context) {
  std::string buffer;
  std::string* const previous = context.begin_buffer(buffer);
  Scope* const outer = context.scope();
  context.push_scope(outer);
  (void)execute(block, context);
  context.pop_scope(outer);
  context.end_buffer(previous);
  return buffer;
}

void assign(const Target& target, const Value& value, Context& context) {
  if (!target.attribute.empty()) {
    const Value object = context.lookup(target.names.front());
    if (object.undefined() != nullptr) {
      fail_undefined(*object.undefined());
    }
    if (object.object() == nullptr) {
      throw Fault{"cannot set attribute '" + target.attribute + "' of a " + type_name(object) +
                  ": only a namespace takes attributes"};
    }
    object.object()->assign(target.attribute, value);
    return;
  }
  if (!target.unpacks) {
    context.assign(target.names.front(), value);
    return;
  }
  const std::vector<Value> parts = elements_of(value);
  if (parts.size() != target.names.size()) {
    throw Fault{"cannot unpack " + std::to_string(parts.size()) + " values into " +
                std::to_string(target.names.size()) + " names"};
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    context.assign(target.names[i], parts[i]);
  }
}

StatementPtr make_text(int line, std::string text) {
  return std::make_unique<TextStatement>(line, std::move(text));
}
StatementPtr make_print(int line, ExpressionPtr value) {
  return std::make_unique<PrintStatement>(line, std::move(value));
}
StatementPtr make_if(int line, std::vector<std::pair<ExpressionPtr, Block>> branches) {
  return std::make_unique<IfStatement>(line, std::move(branches));
}
StatementPtr make_set(int line, Target target, ExpressionPtr value) {
  return std::make_unique<SetStatement>(line, std::move(target), std::move(value));
}
StatementPtr make_set_block(int line, Target target, ExpressionPtr filtered, Block body) {
  return std::make_unique<SetBlockStatement>(line, std::move(target), std::move(filtered),
                                             std::move(body));
}
StatementPtr make_filter_block(int line, ExpressionPtr filtered, Block body) {
  return std::make_unique<FilterStatement>(line, std::move(filtered), std::move(body));
}
StatementPtr make_generation(int line, Block body) {
  return std::make_unique<GenerationStatement>(line, std::move(body));
}
StatementPtr make_jump(int line, Flow flow) {
  return std::make_unique<JumpStatement>(line, flow);
}

}  // namespace finescale::jinja
