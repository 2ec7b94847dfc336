// SPDX-License-Identifier: Apache-2.0
// What the operators do to values, with Python's meaning.
#include <cmath>

#include "worker/data/jinja/expression.h"
#include "worker/data/jinja/format.h"
#include "worker/data/jinja/print.h"

namespace finescale::jinja {

namespace {

[[noreturn]] void fail_operands(const std::string& operation, const Value& a, const Value& b) {
  for (const Value* side : {&a, &b}) {
    if (side->undefined() != nullptr) {
      fail_undefined(*side->undefined());
    }
  }
  throw Fault{"unsupported operands for " + operation + ": '" + type_name(a) + "' and '" +
              type_name(b) + "'"};
}

// Python's: the quotient is rounded down, so the rest has the sign of the divisor.
std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Value integer_result(const std::string& operation, std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  bool overflows = false;
  if (operation == "+") {
    overflows = __builtin_add_overflow(a, b, &out);
  } else if (operation == "-") {
    overflows = __builtin_sub_overflow(a, b, &out);
  } else if (operation == "*") {
    overflows = __builtin_mul_overflow(a, b, &out);
  } else if (operation == "**") {
    if (b < 0) {
      return std::pow(static_cast<double>(a), static_cast<double>(b));
    }
    out = 1;
    // |a| <= 1 stays in range however often; anything else leaves it within 64 factors.
    const std::int64_t times = a == 1 || a == 0 || a == -1 ? (b > 2 ? 2 + b % 2 : b) : b;
    for (std::int64_t i = 0; i < times && !overflows; ++i) {
      overflows = __builtin_mul_overflow(out, a, &out);
    }
  } else {
    if (b == 0) {
      throw Fault{"division by zero"};
    }
    if (operation == "/") {
      return static_cast<double>(a) / static_cast<double>(b);
    }
    overflows = a == INT64_MIN && b == -1;
    if (!overflows) {
      const std::int64_t quotient = floor_divide(a, b);
      out = operation == "//" ? quotient : a - quotient * b;
    }
  }
  if (overflows) {
    throw Fault{"an integer leaves 64 bits in " + operation};
  }
  return out;
}

Value real_result(const std::string& operation, double a, double b) {
  if (operation == "+") {
    return a + b;
  }
  if (operation == "-") {
    return a - b;
  }
  if (operation == "*") {
    return a * b;
  }
  if (operation == "**") {
    return std::pow(a, b);
  }
  if (b == 0) {
    throw Fault{"division by zero"};
  }
  if (operation == "/") {
    return a / b;
  }
  const double quotient = std::floor(a / b);
  return operation == "//" ? quotient : a - quotient * b;
}

Value repeat(Context& context, const Value& value, std::int64_t times) {
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(0, times));
  const auto size = static_cast<std::size_t>(weight_of(value));
  if (count > kMaxValueWeight / size) {
    throw Fault{"a repetition makes more than " + std::to_string(kMaxValueWeight) + " bytes"};
  }
  context.budget().steps(static_cast<std::int64_t>(count));
  if (const std::string* text = value.text()) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) {
      out += *text;
    }
    return context.text(std::move(out));
  }
  std::vector<Value> items;
  for (std::size_t i = 0; i < count; ++i) {
    items.insert(items.end(), value.list()->items.begin(), value.list()->items.end());
  }
  return context.list(std::move(items), value.list()->kind);
}

bool is_joinable(const Value& value) {
  return value.text() != nullptr ||
         (value.list() != nullptr &&
          (value.list()->kind == List::Kind::kList || value.list()->kind == List::Kind::kTuple));
}

}  // namespace

Value add(Context& context, const Value& a, const Value& b) {
  return apply_binary(context, "+", a, b);
}

Value apply_binary(Context& context, const std::string& operation, const Value& a, const Value& b) {
  if (operation == "~") {
    context.visit(a);
    context.visit(b);
    return context.text(to_text(a) + to_text(b));
  }
  std::int64_t i = 0;
  std::int64_t j = 0;
  if (as_integer(a, &i) && as_integer(b, &j)) {
    return integer_result(operation, i, j);
  }
  double x = 0;
  double y = 0;
  if (as_number(a, &x) && as_number(b, &y)) {
    return real_result(operation, x, y);
  }
  if (operation == "%" && a.text() != nullptr) {
    context.visit(b);
    return context.text(format_percent(*a.text(), b));
  }
  if (operation == "*" && is_joinable(a) && as_integer(b, &j)) {
    return repeat(context, a, j);
  }
  if (operation == "*" && is_joinable(b) && as_integer(a, &i)) {
    return repeat(context, b, i);
  }
  if (operation == "+" && a.text() != nullptr && b.text() != nullptr) {
    return context.text(*a.text() + *b.text());
  }
  if (operation == "+" && is_joinable(a) && is_joinable(b) && a.list() != nullptr &&
      b.list() != nullptr && a.list()->kind == b.list()->kind) {
    std::vector<Value> items = a.list()->items;
    items.insert(items.end(), b.list()->items.begin(), b.list()->items.end());
    return context.list(std::move(items), a.list()->kind);
  }
  fail_operands(operation, a, b);
}

bool contains(Context& context, const Value& container, const Value& item) {
  context.visit(container);
  if (const std::string* text = container.text()) {
    if (item.text() == nullptr) {
      fail_operands("in", item, container);
    }
    return text->find(*item.text()) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) {
    return dict->find(item) != nullptr;
  }
  if (const List* list = container.list()) {
    return std::any_of(list->items.begin(), list->items.end(),
                       [&item](const Value& held) { return is_equal(held, item); });
  }
  if (container.undefined() != nullptr) {
    return false;  // nothing is in it: it is iterated as empty
  }
  throw Fault{"a value of type '" + type_name(container) + "' is not iterable"};
}

bool compare(Context& context, const std::string& operation, const Value& a, const Value& b) {
  if (operation == "in" || operation == "not in") {
    return contains(context, b, a) == (operation == "in");
  }
  context.visit(a);
  if (operation == "==" || operation == "!=") {
    return is_equal(a, b) == (operation == "==");
  }
  if (operation == "<") {
    return is_less(a, b);
  }
  if (operation == ">") {
    return is_less(b, a);
  }
  const bool is_below = operation == "<=" ? is_less(a, b) : is_less(b, a);
  return is_below || is_equal(a, b);
}

}  // namespace finescale::jinja
