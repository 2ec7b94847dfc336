// SPDX-License-Identifier: Apache-2.0
#include "configs/expression.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <vector>

namespace finescale {

namespace {

constexpr int kMaxParentheses = 64;

bool is_name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '[' ||
         c == ']';
}

class Parser {
 public:
  Parser(std::string_view text, const std::function<double(const std::string&)>& value_of)
      : text_(text), value_of_(value_of) {}

  double run() {
    const double value = sum();
    skip();
    if (at_ < text_.size()) {
      fail("unexpected " + std::string(text_.substr(at_)));
    }
    if (!std::isfinite(value)) {
      fail("is not finite");
    }
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw ExpressionFault{what}; }

  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') {
      ++at_;
    }
  }
  bool take(char c) {
    skip();
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return true;
    }
    return false;
  }

  double sum() {
    if (++depth_ > kMaxParentheses) {
      fail("nested too deeply");
    }
    double value = product();
    for (;;) {
      if (take('+')) {
        value += product();
      } else if (take('-')) {
        value -= product();
      } else {
        --depth_;
        return value;
      }
    }
  }

  double product() {
    double value = power();
    for (;;) {
      if (take('*')) {
        value *= power();
      } else if (take('/')) {
        const double by = power();
        if (by == 0) {
          fail("division by zero");
        }
        value /= by;
      } else {
        return value;
      }
    }
  }

  double power() {
    const double value = unary();
    if (!take('^')) {
      return value;
    }
    if (++depth_ > kMaxParentheses) {
      fail("nested too deeply");
    }
    const double exponent = power();
    --depth_;
    return std::pow(value, exponent);
  }

  double unary() {
    const bool is_negative = take('-');
    const double value = atom();
    return is_negative ? -value : value;
  }

  double atom() {
    if (take('(')) {
      const double value = sum();
      close();
      return value;
    }
    if (at_ < text_.size() &&
        (std::isdigit(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '.')) {
      return number();
    }
    std::size_t end = at_;
    while (end < text_.size() && is_name_character(text_[end])) {
      ++end;
    }
    if (end == at_) {
      fail(at_ < text_.size() ? "unexpected " + std::string(text_.substr(at_)) : "ends too early");
    }
    const std::string name(text_.substr(at_, end - at_));
    at_ = end;
    return take('(') ? call(name) : value_of_(name);
  }

  double number() {
    double value = 0;
    const auto [end, code] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (code != std::errc()) {
      fail("no number: " + std::string(text_.substr(at_)));
    }
    at_ = static_cast<std::size_t>(end - text_.data());
    return value;
  }

  void close() {
    if (!take(')')) {
      fail(") is missing");
    }
  }

  double call(const std::string& name) {
    std::vector<double> values = {sum()};
    while (take(',')) {
      values.push_back(sum());
    }
    close();
    if (name == "min" || name == "max") {
      return name == "min" ? *std::min_element(values.begin(), values.end())
                           : *std::max_element(values.begin(), values.end());
    }
    using Function = double (*)(double);
    struct Known {
      const char* name;
      Function function;
    };
    constexpr Known kFunctions[] = {
        {"round", [](double x) { return std::round(x); }},
        {"floor", [](double x) { return std::floor(x); }},
        {"ceil", [](double x) { return std::ceil(x); }},
        {"abs", [](double x) { return std::fabs(x); }},
        {"sqrt", [](double x) { return std::sqrt(x); }},
        {"log", [](double x) { return std::log(x); }},
        {"exp", [](double x) { return std::exp(x); }},
    };
    for (const Known& known : kFunctions) {
      if (name == known.name) {
        if (values.size() != 1) {
          fail(name + " takes one value");
        }
        return known.function(values[0]);
      }
    }
    fail("no function " + name + ": there are round floor ceil abs sqrt log exp min max");
  }

  std::string_view text_;
  const std::function<double(const std::string&)>& value_of_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

double evaluate(std::string_view text,
                const std::function<double(const std::string& name)>& value_of) {
  return Parser(text, value_of).run();
}

}  // namespace finescale
