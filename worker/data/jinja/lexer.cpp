// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "worker/data/jinja/literals.h"
#include "worker/data/jinja/text.h"

namespace finescale::jinja {

namespace {

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// One kind of line end, and none at the very end.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      i += i + 1 < source.size() && source[i + 1] == '\n' ? 1 : 0;
      out += '\n';
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) {
    out.pop_back();
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      lex_text();
    }
    add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[nodiscard]] std::string_view rest() const { return std::string_view(source_).substr(at_); }
  [[nodiscard]] bool sees(std::string_view text) const { return rest().starts_with(text); }
  [[noreturn]] void fail(const std::string& message) const { throw SyntaxFault{message, line_}; }

  void skip(std::size_t count) {
    const std::string_view gone = rest().substr(0, count);
    line_ += static_cast<int>(std::count(gone.begin(), gone.end(), '\n'));
    at_ += gone.size();
  }
  void skip_blanks() {
    std::size_t count = 0;
    while (at_ + count < source_.size() && is_blank(source_[at_ + count])) {
      ++count;
    }
    skip(count);
  }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  // Up to the next tag, and that tag.
  void lex_text() {
    const std::size_t begin = find_tag();
    const char sign = begin + 2 < source_.size() ? source_[begin + 2] : '\0';
    const bool is_print = begin + 1 < source_.size() && source_[begin + 1] == '{';
    std::string_view text = rest().substr(0, begin - at_);
    if (begin < source_.size()) {
      text = cut(text, sign, !is_print);
    }
    if (!text.empty()) {
      add(TokenKind::kText, std::string(text));
    }
    skip(begin - at_);
    if (at_ == source_.size()) {
      return;
    }
    const char kind = source_[at_ + 1];
    skip(sign == '-' || sign == '+' ? 3 : 2);
    if (kind == '#') {
      lex_comment();
    } else if (kind == '%' && lex_raw()) {
      return;
    } else {
      lex_tag(kind == '%');
    }
  }
  [[nodiscard]] std::size_t find_tag() const {
    for (std::size_t at = source_.find('{', at_); at < source_.size();
         at = source_.find('{', at + 1)) {
      const char next = at + 1 < source_.size() ? source_[at + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') {
        return at;
      }
    }
    return source_.size();
  }

  // The text in front of a tag: what its sign or lstrip_blocks takes away.
  [[nodiscard]] std::string_view cut(std::string_view text, char sign, bool is_block) const {
    if (sign == '-') {
      return strip(text, Side::kRight);
    }
    if (sign == '+' || !is_block) {
      return text;
    }
    const std::size_t line_begin = text.rfind('\n') + 1;  // npos + 1 is 0
    const bool starts_line = line_begin > 0 || at_line_start_;
    const std::string_view last = text.substr(line_begin);
    const bool is_empty = std::all_of(last.begin(), last.end(), is_blank);
    return starts_line && is_empty ? text.substr(0, line_begin) : text;
  }

  // Behind the closing mark of a tag: `-` takes all white space, trim_blocks one line end.
  void after_tag(char sign, bool is_block) {
    const std::size_t begin = at_;
    if (sign == '-') {
      skip_blanks();
    } else if (is_block && sign != '+' && sees("\n")) {
      skip(1);
    }
    at_line_start_ = at_ > begin && source_[at_ - 1] == '\n';
  }

  void lex_comment() {
    const std::size_t end = source_.find("#}", at_);
    if (end == std::string::npos) {
      fail("a comment {# has no end #}");
    }
    const char sign = end > at_ ? source_[end - 1] : '\0';
    skip(end + 2 - at_);
    after_tag(sign, true);
  }

  // {% raw %} ... {% endraw %}; false: another block. Nothing is consumed then.
  bool lex_raw() {
    const std::size_t begin = at_;
    const int line = line_;
    skip_blanks();
    if (sees("raw")) {
      skip(3);
      skip_blanks();
      if (sees("%}") || sees("-%}")) {
        const bool strips = sees("-");
        skip(strips ? 3 : 2);
        if (strips) {
          skip_blanks();
        }
        at_line_start_ = false;
        lex_raw_text();
        return true;
      }
    }
    at_ = begin;
    line_ = line;
    return false;
  }
  void lex_raw_text() {
    for (std::size_t begin = source_.find("{%", at_); begin != std::string::npos;
         begin = source_.find("{%", begin + 1)) {
      std::size_t end = begin + 2;
      const char sign = end < source_.size() ? source_[end] : '\0';
      end += sign == '-' || sign == '+' ? 1 : 0;
      end = std::min(source_.find_first_not_of(" \t\n\v\f", end), source_.size());
      if (source_.compare(end, 6, "endraw") != 0) {
        continue;
      }
      end = std::min(source_.find_first_not_of(" \t\n\v\f", end + 6), source_.size());
      const char last = end < source_.size() ? source_[end] : '\0';
      end += last == '-' || last == '+' ? 1 : 0;
      if (source_.compare(end, 2, "%}") == 0) {
        add(TokenKind::kText, std::string(cut(rest().substr(0, begin - at_), sign, true)));
        skip(end + 2 - at_);
        after_tag(last, true);
        return;
      }
    }
    fail("{% raw %} has no {% endraw %}");
  }

  void lex_tag(bool is_block) {
    add(is_block ? TokenKind::kBlockBegin : TokenKind::kPrintBegin, "");
    const std::string_view mark = is_block ? "%}" : "}}";
    brackets_.clear();
    while (true) {
      skip_blanks();
      if (at_ == source_.size()) {
        fail(is_block ? "a block {% has no end %}" : "{{ has no end }}");
      }
      const bool signed_end = (sees("-") || (is_block && sees("+"))) && rest().substr(1, 2) == mark;
      if (brackets_.empty() && (signed_end || sees(mark))) {
        const char sign = signed_end ? source_[at_] : '\0';
        add(is_block ? TokenKind::kBlockEnd : TokenKind::kPrintEnd, "");
        skip(signed_end ? 3 : 2);
        after_tag(sign, is_block);
        return;
      }
      lex_token();
    }
  }

  void lex_token() {
    const char c = source_[at_];
    if (c == '"' || c == '\'') {
      std::size_t size = 0;
      std::string text;
      const char* fault = read_string_literal(rest(), &size, &text);
      if (fault != nullptr) {
        fail(fault);
      }
      add(TokenKind::kString, std::move(text));
      skip(size);
    } else if (is_digit(c)) {
      lex_number();
    } else if (is_name_byte(c)) {
      std::size_t size = 1;
      while (at_ + size < source_.size() && is_name_byte(source_[at_ + size])) {
        ++size;
      }
      add(TokenKind::kName, source_.substr(at_, size));
      skip(size);
    } else {
      lex_operator();
    }
  }

  // After a dot only an index: a.0.1 is no 0.1.
  void lex_number() {
    const bool is_index = !tokens_.empty() && tokens_.back().text == "." &&
                          tokens_.back().kind == TokenKind::kOperator;
    bool is_real = false;
    const std::size_t size = number_size(rest(), is_index, &is_real);
    std::string text(rest().substr(0, size));
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    add(is_real ? TokenKind::kReal : TokenKind::kInteger, std::move(text));
    skip(size);
  }

  void lex_operator() {
    static constexpr std::array<std::string_view, 6> kPairs = {"**", "//", "==", "!=", ">=", "<="};
    for (const std::string_view pair : kPairs) {
      if (sees(pair)) {
        add(TokenKind::kOperator, std::string(pair));
        skip(2);
        return;
      }
    }
    const char c = source_[at_];
    if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == std::string_view::npos) {
      fail("unexpected character " + quoted(rest().substr(0, code_point_size(rest(), 0))));
    }
    if (c == '(' || c == '[' || c == '{') {
      brackets_ += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty() || brackets_.back() != c) {
        fail(std::string("unexpected '") + c + "'" +
             (brackets_.empty() ? "" : std::string(", expected '") + brackets_.back() + "'"));
      }
      brackets_.pop_back();
    }
    add(TokenKind::kOperator, std::string(1, c));
    skip(1);
  }

  std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::string brackets_;  // closing ones that are still to come
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    throw SyntaxFault{"the template has more than " + std::to_string(kMaxTemplateBytes) + " bytes",
                      1};
  }
  if (!is_utf8(source)) {
    throw SyntaxFault{"the template is not UTF-8", 1};
  }
  return Lexer(source).run();
}

}  // namespace finescale::jinja
