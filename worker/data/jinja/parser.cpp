// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/parser.h"

#include <array>
#include <initializer_list>

#include "worker/data/jinja/expression_parser.h"

namespace finescale::jinja {

namespace {

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)), expressions_(tokens_) {}

  ParsedTemplate run() {
    ParsedTemplate out;
    out.block = parse_block({}, 1);
    out.has_generation = has_generation_;
    return out;
  }

 private:
  using Words = std::initializer_list<std::string_view>;

  // Statements up to {% word %} with one of the words, which is left; without words up to the end.
  Block parse_block(Words ends, int begun) {
    if (++nesting_ > kMaxParseDepth) {
      tokens_.fail("blocks lie more than " + std::to_string(kMaxParseDepth) +
                   " deep in each other");
    }
    Block block;
    while (true) {
      const int line = tokens_.line();
      if (tokens_.sees(TokenKind::kText)) {
        block.push_back(make_text(line, tokens_.take().text));
      } else if (tokens_.sees(TokenKind::kPrintBegin)) {
        tokens_.take();
        block.push_back(make_print(line, expressions_.parse_tuple()));
        tokens_.expect(TokenKind::kPrintEnd, "'}}'");
      } else if (tokens_.sees(TokenKind::kBlockBegin)) {
        const std::string_view word = tokens_.peek(1).text;
        if (std::find(ends.begin(), ends.end(), word) != ends.end()) {
          break;
        }
        if (is_closing(word)) {
          break;
        }
        tokens_.take();
        block.push_back(parse_statement(line));
      } else {
        break;  // the end of the template
      }
    }
    check_end(ends, begun);
    --nesting_;
    return block;
  }

  // Whether the block of these words ends here, as it must.
  void check_end(Words ends, int begun) const {
    const bool at_tag = tokens_.sees(TokenKind::kBlockBegin);
    if (ends.size() == 0 && at_tag) {
      throw SyntaxFault{"{% " + tokens_.peek(1).text + " %} ends nothing", tokens_.line()};
    }
    const bool is_one =
        at_tag && std::find(ends.begin(), ends.end(), tokens_.peek(1).text) != ends.end();
    if (ends.size() > 0 && !is_one) {
      throw SyntaxFault{"the block that begins here has no {% " + std::string(*(ends.end() - 1)) +
                            " %}" +
                            (at_tag ? ": {% " + tokens_.peek(1).text + " %} comes first" : ""),
                        begun};
    }
  }
  static bool is_closing(std::string_view word) {
    static constexpr std::array<std::string_view, 9> kClosing = {
        "elif",     "else",    "endif",     "endfor",       "endset",
        "endmacro", "endcall", "endfilter", "endgeneration"};
    return std::find(kClosing.begin(), kClosing.end(), word) != kClosing.end();
  }

  // {% word %}; the word must be next.
  void end_block(std::string_view word) {
    tokens_.take();
    if (!tokens_.take_name(word)) {
      tokens_.fail("expected " + std::string(word));
    }
    end_tag();
  }
  void end_tag() { tokens_.expect(TokenKind::kBlockEnd, "'%}'"); }

  StatementPtr parse_statement(int line) {
    const std::string word = tokens_.expect(TokenKind::kName, "the name of a block").text;
    if (word == "if") {
      return parse_if(line);
    }
    if (word == "for") {
      return parse_for(line);
    }
    if (word == "set") {
      return parse_set(line);
    }
    if (word == "macro") {
      return parse_macro(line);
    }
    if (word == "call") {
      return parse_call(line);
    }
    if (word == "filter") {
      ExpressionPtr filtered = expressions_.parse_filters(make_name(line, kBlockText), true);
      end_tag();
      Block body = parse_body("endfilter", line);
      return make_filter_block(line, std::move(filtered), std::move(body));
    }
    if (word == "generation") {
      has_generation_ = true;
      end_tag();
      return make_generation(line, parse_body("endgeneration", line));
    }
    if (word == "break" || word == "continue") {
      if (loops_ == 0) {
        throw SyntaxFault{"{% " + word + " %} stands in no loop", line};
      }
      end_tag();
      return make_jump(line, word == "break" ? Flow::kBreak : Flow::kContinue);
    }
    fail_word(word, line);
  }

  [[noreturn]] static void fail_word(const std::string& word, int line) {
    static constexpr std::array<std::string_view, 9> kOther = {
        "extends", "block", "include", "import", "from", "with", "autoescape", "trans", "do"};
    if (std::find(kOther.begin(), kOther.end(), word) != kOther.end()) {
      throw SyntaxFault{"{% " + word + " %} is not supported in a chat template", line};
    }
    throw SyntaxFault{"there is no block {% " + word.substr(0, 40) + " %}", line};
  }

  Block parse_body(const char* end, int line) {
    Block body = parse_block({end}, line);
    end_block(end);
    return body;
  }

  StatementPtr parse_if(int line) {
    std::vector<std::pair<ExpressionPtr, Block>> branches;
    ExpressionPtr condition = expressions_.parse_tuple();
    end_tag();
    while (true) {
      Block body = parse_block({"elif", "else", "endif"}, line);
      branches.emplace_back(std::move(condition), std::move(body));
      tokens_.take();
      if (tokens_.take_name("elif")) {
        condition = expressions_.parse_tuple();
        end_tag();
        continue;
      }
      if (tokens_.take_name("else")) {
        end_tag();
        branches.emplace_back(nullptr, parse_block({"endif"}, line));
        tokens_.take();
      }
      tokens_.take();
      end_tag();
      return make_if(line, std::move(branches));
    }
  }

  StatementPtr parse_for(int line) {
    ForParts parts;
    parts.target = parse_names();
    if (!tokens_.take_name("in")) {
      tokens_.fail("expected 'in'");
    }
    parts.over = expressions_.parse_tuple(false);
    if (tokens_.take_name("if")) {
      parts.condition = expressions_.parse();
    }
    if (tokens_.sees_name("recursive")) {
      tokens_.fail("recursive loops are not supported");
    }
    end_tag();
    ++loops_;
    parts.body = parse_block({"else", "endfor"}, line);
    --loops_;
    tokens_.take();
    if (tokens_.take_name("else")) {
      end_tag();
      parts.otherwise = parse_block({"endfor"}, line);
      tokens_.take();
    }
    tokens_.take();
    end_tag();
    return make_for(line, std::move(parts));
  }

  // a, b or (a, b)
  Target parse_names() {
    Target target;
    const bool grouped = tokens_.take_operator("(");
    do {
      if (!target.names.empty() && !tokens_.sees(TokenKind::kName)) {
        break;
      }
      target.names.push_back(tokens_.expect(TokenKind::kName, "a name").text);
      target.unpacks = target.unpacks || tokens_.sees_operator(",");
    } while (tokens_.take_operator(","));
    if (grouped) {
      tokens_.expect_operator(")");
    }
    return target;
  }

  StatementPtr parse_set(int line) {
    Target target = parse_names();
    if (!target.unpacks && tokens_.take_operator(".")) {
      target.attribute = tokens_.expect(TokenKind::kName, "the name of an attribute").text;
    }
    if (tokens_.take_operator("=")) {
      ExpressionPtr value = expressions_.parse_tuple();
      end_tag();
      return make_set(line, std::move(target), std::move(value));
    }
    ExpressionPtr filtered;
    if (tokens_.sees_operator("|")) {
      filtered = expressions_.parse_filters(make_name(line, kBlockText));
    }
    end_tag();
    Block body = parse_outside_loops("endset", line);
    return make_set_block(line, std::move(target), std::move(filtered), std::move(body));
  }

  // The body of what is rendered apart: break and continue cannot leave it.
  Block parse_outside_loops(const char* end, int line) {
    const int loops = std::exchange(loops_, 0);
    Block body = parse_body(end, line);
    loops_ = loops;
    return body;
  }

  std::vector<Parameter> parse_parameters() {
    std::vector<Parameter> parameters;
    tokens_.expect_operator("(");
    while (!tokens_.sees_operator(")")) {
      Parameter parameter;
      parameter.name = tokens_.expect(TokenKind::kName, "the name of a parameter").text;
      if (tokens_.take_operator("=")) {
        parameter.fallback = expressions_.parse();
      }
      parameters.push_back(std::move(parameter));
      if (!tokens_.take_operator(",")) {
        break;
      }
    }
    tokens_.expect_operator(")");
    return parameters;
  }

  StatementPtr parse_macro(int line) {
    MacroBody macro;
    macro.name = tokens_.expect(TokenKind::kName, "the name of the macro").text;
    macro.parameters = parse_parameters();
    end_tag();
    macro.body = parse_outside_loops("endmacro", line);
    return make_macro_definition(line, std::move(macro));
  }

  // {% call(parameters) macro(arguments) %}
  StatementPtr parse_call(int line) {
    MacroBody caller;
    caller.name = "caller";
    if (tokens_.sees_operator("(")) {
      caller.parameters = parse_parameters();
    }
    ExpressionPtr callee = make_name(line, tokens_.expect(TokenKind::kName, "a macro").text);
    while (tokens_.take_operator(".")) {
      callee = make_attribute(line, std::move(callee),
                              tokens_.expect(TokenKind::kName, "the name of an attribute").text);
      if (callee->depth() > kMaxNodeDepth) {
        tokens_.fail("too many attributes in each other");
      }
    }
    CallArguments arguments = expressions_.parse_arguments();
    end_tag();
    caller.body = parse_outside_loops("endcall", line);
    return make_call_block(line, std::move(callee), std::move(arguments), std::move(caller));
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int nesting_ = 0;
  int loops_ = 0;  // around the current place
  bool has_generation_ = false;
};

}  // namespace

ParsedTemplate parse_template(std::string_view source) {
  return Parser(source).run();
}

}  // namespace finescale::jinja
