// SPDX-License-Identifier: Apache-2.0
// Macros and call blocks. A macro sees the scope it was made in, as it is when it is called.
#include <algorithm>

#include "worker/data/jinja/statement.h"

namespace finescale::jinja {

namespace {

const std::string kCaller = "caller";
const std::string kVarargs = "varargs";
const std::string kKwargs = "kwargs";

// Arguments into the scope of a call; those too many become varargs and kwargs.
void bind_parameters(const MacroBody& macro, Arguments& arguments, Context& context) {
  const std::size_t count = macro.parameters.size();
  std::vector<bool> is_given(count, false);
  std::vector<Value> more;
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    if (i < count) {
      context.assign(macro.parameters[i].name, std::move(arguments.positional[i]));
      is_given[i] = true;
    } else {
      more.push_back(std::move(arguments.positional[i]));
    }
  }
  Dict others;
  for (auto& [name, value] : arguments.named) {
    const auto found = std::find_if(macro.parameters.begin(), macro.parameters.end(),
                                    [&name = name](const Parameter& p) { return p.name == name; });
    if (found == macro.parameters.end()) {
      if (name == kCaller) {
        context.assign(kCaller, std::move(value));
      } else {
        others.set(Value(name), std::move(value));
      }
      continue;
    }
    const auto index = static_cast<std::size_t>(found - macro.parameters.begin());
    if (is_given[index]) {
      throw Fault{"macro " + macro.name + " got two values for " + name};
    }
    context.assign(found->name, std::move(value));
    is_given[index] = true;
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (!is_given[i]) {
      const Parameter& parameter = macro.parameters[i];
      context.assign(parameter.name, parameter.fallback == nullptr
                                         ? Value(Undefined{&parameter.name})
                                         : parameter.fallback->evaluate(context));
    }
  }
  context.assign(kVarargs, context.list(std::move(more), List::Kind::kTuple));
  context.assign(kKwargs, Value(std::move(others)));
}

class MacroStatement : public Statement {
 public:
  MacroStatement(int line, MacroBody macro) : Statement(line), macro_(std::move(macro)) {}

 private:
  [[nodiscard]] Flow run(Context& context) const override {
    context.assign(macro_.name, make_macro(macro_, context));
    return Flow::kNext;
  }
  MacroBody macro_;
};

class CallStatement : public Statement {
 public:
  CallStatement(int line, ExpressionPtr callee, CallArguments arguments, MacroBody caller)
      : Statement(line),
        callee_(std::move(callee)),
        arguments_(std::move(arguments)),
        caller_(std::move(caller)) {}

 private:
  [[nodiscard]] Flow run(Context& context) const override {
    const Value callee = callee_->evaluate(context);
    Arguments arguments = arguments_.evaluate(context);
    arguments.named.emplace_back(kCaller, make_macro(caller_, context));
    context.line = line();
    const Value made = jinja::call(context, callee, arguments);
    if (made.text() != nullptr) {
      context.write(*made.text());
    }
    return Flow::kNext;
  }
  ExpressionPtr callee_;
  CallArguments arguments_;
  MacroBody caller_;
};

}  // namespace

Value make_macro(const MacroBody& body, Context& context) {
  context.capture_scope();
  Function function;
  function.name = body.name;
  function.call = [&body, home = context.scope()](Context& at, Arguments& arguments) {
    const Depth entered(at);
    Scope* const calling = at.scope();
    std::string buffer;
    std::string* const previous = at.begin_buffer(buffer);
    at.push_scope(home);
    bind_parameters(body, arguments, at);
    (void)execute(body.body, at);
    at.pop_scope(calling);
    at.end_buffer(previous);
    return at.text(std::move(buffer));
  };
  return Value(std::move(function));
}

StatementPtr make_macro_definition(int line, MacroBody body) {
  return std::make_unique<MacroStatement>(line, std::move(body));
}
StatementPtr make_call_block(int line, ExpressionPtr callee, CallArguments arguments,
                             MacroBody caller) {
  return std::make_unique<CallStatement>(line, std::move(callee), std::move(arguments),
                                         std::move(caller));
}

}  // namespace finescale::jinja
