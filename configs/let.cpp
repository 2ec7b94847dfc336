// SPDX-License-Identifier: Apache-2.0
#include "configs/let.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "configs/expression.h"
#include "configs/field_path.h"
#include "configs/flow_text.h"
#include "configs/nearest_name.h"
#include "configs/parse.h"
#include "configs/ranges.h"
#include "core/error.h"

namespace finescale {

namespace {

// Canonical flow text puts quotes around what is no plain word.
std::string unquoted(const std::string& text) {
  const bool is_quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                         text.back() == text.front();
  return is_quoted ? text.substr(1, text.size() - 2) : text;
}

class Values {
 public:
  Values(const config::Sweep& sweep, std::string where) : sweep_(sweep), where_(std::move(where)) {}

  // `at`: the field that is set, for errors without a place of their own.
  double of_expression(const std::string& text, const std::string& at) {
    try {
      return evaluate(unquoted(text), [&](const std::string& name) { return of_name(name, at); });
    } catch (const ExpressionFault& fault) {
      fail(at, at + ": " + unquoted(text) + ": " + fault.what);
    }
  }

  double of_name(const std::string& name, const std::string& at) {
    const auto found =
        std::find_if(sweep_.let().begin(), sweep_.let().end(),
                     [&](const config::LetValue& value) { return value.name() == name; });
    if (found == sweep_.let().end()) {
      return of_field(name, at);
    }
    if (std::find(way_.begin(), way_.end(), name) != way_.end()) {
      std::string circle;
      for (const std::string& one : way_) {
        circle += one + " -> ";
      }
      fail("let." + way_.front(), "let." + way_.front() + " is made of itself: " + circle + name);
    }
    way_.push_back(name);
    const double value = of_expression(found->value(), "let." + name);
    way_.pop_back();
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& at, const std::string& what,
                         const std::string& hint = {}) const {
    throw Error(ErrorKind::kConfig, what, where_.empty() ? at : where_, hint);
  }

  double of_field(const std::string& name, const std::string& at) const {
    std::vector<std::string> known;
    for (const config::LetValue& value : sweep_.let()) {
      known.push_back(value.name());
    }
    std::string text;
    try {
      text = field_text(sweep_, name);
    } catch (const Error&) {
      fail(at, at + ": no value " + name + did_you_mean(name, known),
           "names of let, and paths of fields such as train.data_budget");
    }
    double value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size()) {
      fail(at, at + ": " + name + " is " + text + ", must be a number");
    }
    return value;
  }

  const config::Sweep& sweep_;
  std::string where_;
  std::vector<std::string> way_;  // names that are being computed
};

std::string text_for(const google::protobuf::FieldDescriptor& field, double value,
                     const std::string& path, const std::string& expression,
                     const std::string& where) {
  using google::protobuf::FieldDescriptor;
  const bool is_whole = field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 ||
                        field.cpp_type() == FieldDescriptor::CPPTYPE_INT64;
  if (!is_whole) {
    return number_text(value);
  }
  constexpr double kRounding = 1e-9;  // of sums and products of short decimals
  if (std::fabs(value - std::round(value)) > kRounding * std::max(1.0, std::fabs(value))) {
    throw Error(ErrorKind::kConfig,
                path + ": " + expression + " is " + number_text(value) + ", must be a whole number",
                where.empty() ? path : where, "round(...) makes it one");
  }
  return std::to_string(std::llround(value));
}

}  // namespace

double let_value(const config::Sweep& sweep, const std::string& name, const std::string& where) {
  return Values(sweep, where).of_name(name, "let." + name);
}

void apply_let(config::Sweep& sweep, const std::string& where) {
  const config::Sweep before = sweep;
  Values values(before, where);
  for (const config::FieldValues& derived : before.derived()) {
    const double value = values.of_expression(derived.value(), derived.path());
    const FieldRef ref = find_field(sweep, derived.path(), where);
    set_field(sweep, derived.path(),
              text_for(*ref.field, value, derived.path(), unquoted(derived.value()), where),
              where.empty() ? derived.path() : where);
  }
}

}  // namespace finescale
