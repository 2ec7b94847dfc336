// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/onig_syntax.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "worker/data/tokenizers/onig_properties.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

struct Property {
  std::string items;  // inside a class, not negated
  bool negated = false;
};

class Translator {
 public:
  Translator(std::string_view pattern, const std::function<void(const std::string&)>& refuse)
      : in_(pattern), refuse_(refuse) {}

  std::string run() {
    while (at_ < in_.size()) {
      step();
    }
    close_options();
    return std::move(out_);
  }

 private:
  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0';
  }
  bool take(std::string_view text) {
    if (in_.substr(at_, text.size()) != text) {
      return false;
    }
    at_ += text.size();
    return true;
  }
  void atom(const std::string& text) {
    atom_ = out_.size();
    out_ += text;
  }

  void step() {
    const char c = peek();
    if (c == '\\') {
      escape();
    } else if (c == '[') {
      ++at_;
      const std::string made = char_class();
      atom(made);
    } else if (c == '(') {
      open_group();
    } else if (c == ')') {
      ++at_;
      close_options();
      out_ += ')';
      if (!groups_.empty()) {
        atom_ = groups_.back().begin;
        open_options_ = groups_.back().open_options;
        groups_.pop_back();
      }
    } else if (c == '{') {
      interval();
    } else if (c == '*' || c == '+' || c == '?') {
      out_ += c;
      ++at_;
    } else {
      const int length = std::max(1, decode_utf8(in_, at_).length);
      atom(std::string(in_.substr(at_, static_cast<std::size_t>(length))));
      at_ += static_cast<std::size_t>(length);
    }
  }

  void close_options() {
    out_.append(open_options_, ')');
    open_options_ = 0;
  }

  void open_group() {
    if (in_.substr(at_, 2) != "(?") {
      enter_group();
      out_ += '(';
      ++at_;
      return;
    }
    if (in_.substr(at_, 3) == "(?~" || in_.substr(at_, 3) == "(?@" || in_.substr(at_, 3) == "(?{") {
      refuse_("regex group " + std::string(in_.substr(at_, 3)));
    }
    std::size_t end = at_ + 2;
    while (end < in_.size() && std::string_view("imx-").find(in_[end]) != std::string_view::npos) {
      ++end;
    }
    if (end > at_ + 2 && end < in_.size() && (in_[end] == ')' || in_[end] == ':')) {
      // (?i) holds to the end of its group, across |, as one group: a(?i)b|c is a(?i:b|c).
      if (in_[end] == ':') {
        enter_group();
      } else {
        ++open_options_;
      }
      for (; at_ < end; ++at_) {
        out_ += in_[at_] == 'm' ? 's' : in_[at_];  // dot matches newline is called m there
      }
      out_ += ':';
      ++at_;
      return;
    }
    enter_group();
    out_ += "(?";
    at_ += 2;
    for (const std::string_view head : {"<=", "<!", "<", "=", "!", ">", ":", "#"}) {
      if (take(head)) {
        out_ += head;
        return;
      }
    }
    refuse_("regex group (?" + std::string(1, peek()));
  }

  void enter_group() {
    groups_.push_back({out_.size(), open_options_});
    open_options_ = 0;
  }

  // {n,m} after an atom. With + behind it, Oniguruma repeats it; PCRE2 would make it possessive.
  void interval() {
    std::size_t end = at_ + 1;
    while (end < in_.size() &&
           (std::isdigit(static_cast<unsigned char>(in_[end])) != 0 || in_[end] == ',')) {
      ++end;
    }
    std::string body(in_.substr(at_ + 1, end - at_ - 1));
    if (end >= in_.size() || in_[end] != '}' || body.empty() || body == ",") {
      atom("\\{");
      ++at_;
      return;
    }
    at_ = end + 1;
    const bool fixed = body.find(',') == std::string::npos;
    if (body.front() == ',') {
      body.insert(0, "0");
    }
    if (peek() == '+' || (fixed && peek() == '?')) {
      out_.insert(atom_, "(?:");
      out_ += "{" + body + "})" + peek();
      ++at_;
    } else {
      out_ += "{" + body + "}";
    }
  }

  void escape() {
    ++at_;
    const char c = peek();
    if (c == 'b' || c == 'B') {
      const std::string word = "[" + lone_word_items() + "]";
      const bool edge = c == 'b';
      atom("(?:(?<=" + word + ")(?" + (edge ? "!" : "=") + word + ")|(?<!" + word + ")(?" +
           (edge ? "=" : "!") + word + "))");
      ++at_;
    } else if (std::string_view("AzZGRXKNkg123456789").find(c) != std::string_view::npos) {
      atom(std::string("\\") + c);  // of \k and \g, <name> follows as it is
      ++at_;
    } else if (c == 'O') {
      atom("(?s:.)");
      ++at_;
    } else if (c == 'w' || c == 'W') {
      atom((c == 'W' ? "[^" : "[") + lone_word_items() + "]");
      ++at_;
    } else {
      const Property items = class_escape();
      const bool one = !items.negated && items.items.size() <= 2;
      atom(one ? items.items : (items.negated ? "[^" : "[") + items.items + "]");
    }
  }

  // An escape that may stand in a class; at_ is behind the backslash.
  Property class_escape() {
    const char c = peek();
    if (c == '\0') {
      refuse_("a regex that ends in a backslash");
    }
    ++at_;
    switch (c) {
      case 's':
      case 'S':
        return {R"(\p{White_Space})", c == 'S'};
      case 'w':
      case 'W':
        return {word_items(), c == 'W'};
      case 'd':
      case 'D':
        return {*posix_items("digit"), c == 'D'};
      case 'h':
      case 'H':
        return {"0-9a-fA-F", c == 'H'};
      case 'v':
        return {R"(\x0B)", false};
      case 'p':
      case 'P':
        return property(c == 'P');
      case 'u':
        return {hex_escape(hex_digits(4)), false};
      case 'x':
        return {hex_escape(hex_number()), false};
      case 'a':
      case 'e':
      case 'f':
      case 'n':
      case 'r':
      case 't':
      case '0':
        return {std::string("\\") + c, false};
      default:
        break;
    }
    if (std::string_view("cCM").find(c) != std::string_view::npos) {
      refuse_(std::string("regex escape \\") + c);
    }
    --at_;
    const int length = std::max(1, decode_utf8(in_, at_).length);
    const std::string text(in_.substr(at_, static_cast<std::size_t>(length)));
    at_ += static_cast<std::size_t>(length);
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || length > 1;
    return {plain ? text : "\\" + text, false};
  }

  char32_t hex_digits(std::size_t most) {
    char32_t code = 0;
    std::size_t count = 0;
    while (count < most && std::isxdigit(static_cast<unsigned char>(peek())) != 0) {
      const char c = static_cast<char>(std::tolower(static_cast<unsigned char>(peek())));
      code = code * 16 + static_cast<char32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
      ++at_;
      ++count;
    }
    if (count == 0) {
      refuse_("a regex escape without its digits");
    }
    return code;
  }

  char32_t hex_number() {
    if (peek() != '{') {
      const char32_t code = hex_digits(2);
      if (code > 0x7F) {
        refuse_("regex escape \\xHH beyond 7F (a raw byte)");
      }
      return code;
    }
    ++at_;
    const char32_t code = hex_digits(6);
    if (!take("}") || code > 0x10FFFF) {
      refuse_("regex escape \\x{...} of this form");
    }
    return code;
  }

  // {Name} or {^Name} behind \p or \P.
  Property property(bool negated) {
    const std::size_t end = in_.find('}', at_);
    if (peek() != '{' || end == std::string_view::npos) {
      refuse_("regex escape \\p without {...}");
    }
    std::string name(in_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    if (!name.empty() && name.front() == '^') {
      negated = !negated;
      name.erase(0, 1);
    }
    if (const auto posix = posix_items(name)) {
      return {*posix, negated};
    }
    return {property_items(name), negated};
  }

  // Behind '['. Parts joined by && are look-aheads before the last one.
  std::string char_class() {
    if (++depth_ > 16) {
      refuse_("regex classes nested this deep");
    }
    const bool negated = take("^");
    std::vector<std::string> parts;
    std::string items;                // of this part, as items of one class
    std::vector<std::string> others;  // alternatives that are not items: negated classes
    bool first = true;
    const auto close_part = [&] {
      std::string part = items.empty() ? "" : "[" + items + "]";
      for (const std::string& other : others) {
        part += (part.empty() ? "" : "|") + other;
      }
      parts.push_back(part.empty() ? "(?!)" : others.empty() ? part : "(?:" + part + ")");
      items.clear();
      others.clear();
    };
    for (;; first = false) {
      if (at_ >= in_.size()) {
        refuse_("a regex class without its end");
      }
      if (peek() == ']' && !first) {
        ++at_;
        break;
      }
      if (take("&&")) {
        close_part();
      } else {
        class_item(items, others);
      }
    }
    --depth_;
    if (parts.empty() && others.empty()) {
      return (negated ? "[^" : "[") + items + "]";
    }
    close_part();
    std::string all;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      all += "(?=" + parts[i] + ")";
    }
    all = "(?:" + all + parts.back() + ")";
    return negated ? "(?:(?!" + all + ")(?s:.))" : all;
  }

  void class_item(std::string& items, std::vector<std::string>& others) {
    if (take("[:")) {
      const bool negated = take("^");
      const std::size_t end = in_.find(":]", at_);
      const auto posix = end == std::string_view::npos
                             ? std::nullopt
                             : posix_items(std::string(in_.substr(at_, end - at_)));
      if (!posix) {
        refuse_("this POSIX bracket in a regex");
      }
      at_ = end + 2;
      add({*posix, negated}, items, others);
    } else if (take("[")) {
      const std::string inner = char_class();
      if (inner.front() == '[' && inner[1] != '^') {
        items += inner.substr(1, inner.size() - 2);
      } else {
        others.push_back(inner);
      }
    } else if (take("\\")) {
      add(peek() == 'b' ? backspace() : class_escape(), items, others);
    } else {
      const int length = std::max(1, decode_utf8(in_, at_).length);
      const std::string text(in_.substr(at_, static_cast<std::size_t>(length)));
      items += text == "]" ? "\\]" : text;
      at_ += static_cast<std::size_t>(length);
    }
  }

  Property backspace() {
    ++at_;
    return {"\\x08", false};
  }

  // A negated property is an item only when PCRE2 can write it as one.
  static void add(const Property& what, std::string& items, std::vector<std::string>& others) {
    if (!what.negated) {
      items += what.items;
    } else if (what.items.rfind("\\p{", 0) == 0 && what.items.find('}') == what.items.size() - 1) {
      items += "\\P" + what.items.substr(2);
    } else {
      others.push_back("[^" + what.items + "]");
    }
  }

  std::string_view in_;
  const std::function<void(const std::string&)>& refuse_;
  std::size_t at_ = 0;
  std::string out_;
  std::size_t atom_ = 0;  // where the last atom begins in out_
  struct Group {
    std::size_t begin;         // in out_
    std::size_t open_options;  // of the group around it
  };
  std::vector<Group> groups_;     // that are open
  std::size_t open_options_ = 0;  // (?i) that end with this group
  int depth_ = 0;
};

}  // namespace

std::string pcre_from_onig(std::string_view pattern,
                           const std::function<void(const std::string&)>& refuse) {
  return Translator(pattern, refuse).run();
}

}  // namespace finescale
