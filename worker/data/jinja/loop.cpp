// SPDX-License-Identifier: Apache-2.0
// {% for %} and what `loop` knows inside it.
#include "worker/data/jinja/statement.h"

namespace finescale::jinja {

namespace {

class LoopObject : public Object {
 public:
  explicit LoopObject(Value items) : items_(std::move(items)) {}
  [[nodiscard]] const char* type_name() const override { return "loop"; }
  [[nodiscard]] int depth() const override { return items_.list()->depth + 1; }
  [[nodiscard]] const std::vector<Value>& items() const { return items_.list()->items; }

  [[nodiscard]] Value attribute(const std::string& name) const override {
    const auto length = static_cast<std::int64_t>(items().size());
    const auto at = static_cast<std::int64_t>(index);
    if (name == "index" || name == "index0") {
      return at + (name == "index" ? 1 : 0);
    }
    if (name == "revindex" || name == "revindex0") {
      return length - at - (name == "revindex" ? 0 : 1);
    }
    if (name == "first" || name == "last") {
      return name == "first" ? at == 0 : at + 1 == length;
    }
    if (name == "length") {
      return length;
    }
    if (name == "depth" || name == "depth0") {
      return std::int64_t{name == "depth" ? 1 : 0};  // recursive loops are refused
    }
    if (name == "previtem") {
      return at == 0 ? Value() : items()[index - 1];
    }
    if (name == "nextitem") {
      return at + 1 == length ? Value() : items()[index + 1];
    }
    return name == "cycle" ? cycle() : Value();
  }

  std::size_t index = 0;

 private:
  [[nodiscard]] Value cycle() const {
    Function function;
    function.name = "cycle";
    function.call = [at = index](Context& /*context*/, Arguments& arguments) {
      if (arguments.positional.empty()) {
        throw Fault{"loop.cycle needs values"};
      }
      return arguments.positional[at % arguments.positional.size()];
    };
    return Value(std::move(function));
  }

  Value items_;
};

class ForStatement : public Statement {
 public:
  ForStatement(int line, ForParts parts) : Statement(line), parts_(std::move(parts)) {}

 private:
  [[nodiscard]] Flow run(Context& context) const override {
    Scope* const outer = context.scope();
    const auto loop = std::make_shared<LoopObject>(items(context));
    if (loop->items().empty()) {
      context.push_scope(outer);
      const Flow flow = jinja::execute(parts_.otherwise, context);
      context.pop_scope(outer);
      return flow;
    }
    static const std::string kLoop = "loop";
    for (; loop->index < loop->items().size(); ++loop->index) {
      context.push_scope(outer);  // of one turn: what is set does not outlive it
      context.assign(kLoop, Value(std::static_pointer_cast<Object>(loop)));
      assign(parts_.target, loop->items()[loop->index], context);
      const Flow flow = jinja::execute(parts_.body, context);
      context.pop_scope(outer);
      if (flow == Flow::kBreak) {
        break;
      }
    }
    return Flow::kNext;
  }

  [[nodiscard]] Value items(Context& context) const {
    const Value over = parts_.over->evaluate(context);
    context.line = line();
    context.visit(over);
    std::vector<Value> items = elements_of(over);
    if (parts_.condition == nullptr) {
      return context.list(std::move(items));
    }
    std::vector<Value> kept;
    Scope* const outer = context.scope();
    for (const Value& item : items) {
      context.push_scope(outer);
      assign(parts_.target, item, context);
      if (is_true(parts_.condition->evaluate(context))) {
        kept.push_back(item);
      }
      context.pop_scope(outer);
    }
    return context.list(std::move(kept));
  }

  ForParts parts_;
};

}  // namespace

StatementPtr make_for(int line, ForParts parts) {
  return std::make_unique<ForStatement>(line, std::move(parts));
}

}  // namespace finescale::jinja
