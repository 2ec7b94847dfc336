// SPDX-License-Identifier: Apache-2.0
// Statements of a template as a tree.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "worker/data/jinja/expression.h"

namespace finescale::jinja {

enum class Flow { kNext, kBreak, kContinue };

class Statement {
 public:
  explicit Statement(int line) : line_(line) {}
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  virtual ~Statement() = default;
  [[nodiscard]] Flow execute(Context& context) const {
    const Depth entered(context);
    context.budget().steps(1);
    context.line = line_;
    return run(context);
  }
  [[nodiscard]] int line() const noexcept { return line_; }

 private:
  [[nodiscard]] virtual Flow run(Context& context) const = 0;
  int line_;
};

using StatementPtr = std::unique_ptr<Statement>;
using Block = std::vector<StatementPtr>;

[[nodiscard]] Flow execute(const Block& block, Context& context);
// What a block writes, in a scope of its own.
[[nodiscard]] std::string render_apart(const Block& block, Context& context);

// What `set` and `for` give values to: names, or an attribute of a namespace.
struct Target {
  std::vector<std::string> names;  // several: the value is unpacked
  std::string attribute;           // of names[0]; empty: none
  bool unpacks = false;
};
void assign(const Target& target, const Value& value, Context& context);

struct Parameter {
  std::string name;
  ExpressionPtr fallback;  // null: undefined when it is not given
};
// The body of a macro or of a call block, and where it was made.
struct MacroBody {
  std::string name;
  std::vector<Parameter> parameters;
  Block body;
};
// The macro lives as long as the template; the current scope is kept until the rendering ends.
[[nodiscard]] Value make_macro(const MacroBody& body, Context& context);

[[nodiscard]] StatementPtr make_text(int line, std::string text);
[[nodiscard]] StatementPtr make_print(int line, ExpressionPtr value);
// The first branch whose condition holds; a null condition always does.
[[nodiscard]] StatementPtr make_if(int line, std::vector<std::pair<ExpressionPtr, Block>> branches);
struct ForParts {
  Target target;
  ExpressionPtr over;
  ExpressionPtr condition;  // may be null
  Block body;
  Block otherwise;
};
[[nodiscard]] StatementPtr make_for(int line, ForParts parts);
[[nodiscard]] StatementPtr make_set(int line, Target target, ExpressionPtr value);
// `filtered` reads the block's text from the name kBlockText; null: the text as it is.
[[nodiscard]] StatementPtr make_set_block(int line, Target target, ExpressionPtr filtered,
                                          Block body);
[[nodiscard]] StatementPtr make_filter_block(int line, ExpressionPtr filtered, Block body);
[[nodiscard]] StatementPtr make_macro_definition(int line, MacroBody body);
// `call` reads the block as the function `caller`.
[[nodiscard]] StatementPtr make_call_block(int line, ExpressionPtr callee, CallArguments arguments,
                                           MacroBody caller);
[[nodiscard]] StatementPtr make_generation(int line, Block body);
[[nodiscard]] StatementPtr make_jump(int line, Flow flow);

// No template can spell it.
inline const std::string kBlockText = "(block)";

}  // namespace finescale::jinja
