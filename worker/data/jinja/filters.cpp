// SPDX-License-Identifier: Apache-2.0
// Filters of single values; the others are looked up in their own files.
#include "worker/data/jinja/filters.h"

#include <cmath>
#include <cstdlib>
#include <unordered_map>

#include "worker/data/jinja/print.h"
#include "worker/data/jinja/text.h"

namespace finescale::jinja {

namespace {

Value default_filter(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("default", arguments, {"default_value", "boolean"});
  const bool missing = value.undefined() != nullptr || (given.flag(1, false) && !is_true(value));
  return !missing ? value : given[0] != nullptr ? *given[0] : Value(std::string());
}

Value length_filter(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("length", arguments, {});
  return length_of(value);
}

Value string_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("string", arguments, {});
  return value.text() != nullptr ? value : context.text(to_text(value));
}

Value same_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("safe", arguments, {});
  return string_filter(context, value, arguments);
}

// The number that a text spells; false: it spells none.
bool parse_real(std::string_view text, double* out) {
  const std::string trimmed(strip(text));
  char* end = nullptr;
  *out = std::strtod(trimmed.c_str(), &end);
  return !trimmed.empty() && *end == '\0' && trimmed.find_first_of("xXpP") == std::string::npos;
}
bool parse_integer(std::string_view text, int base, std::int64_t* out) {
  const std::string trimmed(strip(text));
  char* end = nullptr;
  errno = 0;
  *out = std::strtoll(trimmed.c_str(), &end, base);
  return !trimmed.empty() && *end == '\0' && errno == 0;
}

bool real_to_integer(double real, std::int64_t* out) {
  if (!(std::abs(real) < 9.2e18)) {  // false for NaN too
    return false;
  }
  *out = static_cast<std::int64_t>(real);
  return true;
}

Value int_filter(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("int", arguments, {"default", "base"});
  const Value fallback = given[0] != nullptr ? *given[0] : Value(std::int64_t{0});
  const std::int64_t base = given.integer(1, 10);
  std::int64_t number = 0;
  double real = 0;
  if (value.undefined() != nullptr) {
    fail_undefined(*value.undefined());
  }
  if (as_integer(value, &number) ||
      (value.real() != nullptr && real_to_integer(*value.real(), &number))) {
    return number;
  }
  const std::string* text = value.text();
  if (text == nullptr || base < 0 || base == 1 || base > 36) {
    return fallback;
  }
  const bool is_integer = parse_integer(*text, static_cast<int>(base), &number);
  return is_integer || (parse_real(*text, &real) && real_to_integer(real, &number)) ? Value(number)
                                                                                    : fallback;
}

Value float_filter(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("float", arguments, {"default"});
  double number = 0;
  if (value.undefined() != nullptr) {
    fail_undefined(*value.undefined());
  }
  if (as_number(value, &number) ||
      (value.text() != nullptr && parse_real(*value.text(), &number))) {
    return number;
  }
  return given[0] != nullptr ? *given[0] : Value(0.0);
}

Value abs_filter(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("abs", arguments, {});
  std::int64_t integer = 0;
  double real = 0;
  if (as_integer(value, &integer) && integer != INT64_MIN) {
    return integer < 0 ? -integer : integer;
  }
  if (!as_number(value, &real)) {
    throw Fault{"abs needs a number, not '" + type_name(value) + "'"};
  }
  return std::abs(real);
}

Value round_filter(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("round", arguments, {"precision", "method"});
  const std::string method = given.text(1, "common");
  const auto digits = static_cast<int>(std::clamp<std::int64_t>(given.integer(0, 0), -300, 300));
  double number = 0;
  if (!as_number(value, &number)) {
    throw Fault{"round needs a number, not '" + type_name(value) + "'"};
  }
  const double unit = std::pow(10.0, digits);
  if (method == "ceil" || method == "floor") {
    return (method == "ceil" ? std::ceil(number * unit) : std::floor(number * unit)) / unit;
  }
  return std::nearbyint(number * unit) / unit;  // half to even
}

std::optional<std::string> optional_text(const Value* value) {
  return value == nullptr || value->is_none() ? std::nullopt : std::optional(to_text(*value));
}

Value tojson_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("tojson", arguments,
                             {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = given.flag(0, false);
  style.sort_keys = given.flag(3, false);
  std::int64_t indent = 0;
  if (given[1] != nullptr && as_integer(*given[1], &indent)) {
    style.indent =
        std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(indent, 0, 64)), ' ');
  } else {
    style.indent = optional_text(given[1]);
  }
  if (given[2] != nullptr && !given[2]->is_none()) {
    const std::vector<Value> pair = elements_of(*given[2]);
    if (pair.size() != 2) {
      throw Fault{"tojson: separators must be two texts"};
    }
    style.item_separator = to_text(pair[0]);
    style.key_separator = to_text(pair[1]);
  }
  return context.text(to_json(value, style, context.budget()));
}

Value items_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("items", arguments, {});
  if (value.undefined() == nullptr && value.dict() == nullptr) {
    throw Fault{"items needs a dict, not '" + type_name(value) + "'"};
  }
  std::vector<Value> pairs;
  if (value.dict() != nullptr) {
    for (const auto& [key, held] : value.dict()->entries) {
      pairs.push_back(context.list({key, held}, List::Kind::kTuple));
    }
  }
  return context.list(std::move(pairs), List::Kind::kGenerator);
}

}  // namespace

Filter find_filter(std::string_view name) {
  static const std::unordered_map<std::string_view, Filter> kFilters = {
      {"default", default_filter}, {"d", default_filter},     {"length", length_filter},
      {"count", length_filter},    {"string", string_filter}, {"safe", same_filter},
      {"int", int_filter},         {"float", float_filter},   {"abs", abs_filter},
      {"round", round_filter},     {"tojson", tojson_filter}, {"items", items_filter}};
  if (const auto found = kFilters.find(name); found != kFilters.end()) {
    return found->second;
  }
  const Filter of_text = find_text_filter(name);
  return of_text != nullptr ? of_text : find_sequence_filter(name);
}

}  // namespace finescale::jinja
