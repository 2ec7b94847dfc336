// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/tests.h"

#include <unordered_map>

#include "worker/data/jinja/expression.h"
#include "worker/data/jinja/filters.h"
#include "worker/data/jinja/print.h"
#include "worker/data/jinja/text.h"

namespace finescale::jinja {

namespace {

using Predicate = bool (*)(const Value&);

// A test without arguments.
template <Predicate kHolds>
bool plain(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("the test", arguments, {});
  return kHolds(value);
}

bool is_defined(const Value& value) {
  return value.undefined() == nullptr;
}
bool is_undefined(const Value& value) {
  return value.undefined() != nullptr;
}
bool is_none(const Value& value) {
  return value.is_none();
}
bool is_string(const Value& value) {
  return value.text() != nullptr;
}
bool is_mapping(const Value& value) {
  return value.dict() != nullptr;
}
bool is_iterable(const Value& value) {  // undefined too: it is iterated as empty
  return value.list() != nullptr || value.dict() != nullptr || value.text() != nullptr ||
         value.undefined() != nullptr;
}
// Has a length and items; a dict and a text do.
bool is_sequence(const Value& value) {
  const List* list = value.list();
  return value.dict() != nullptr || value.text() != nullptr || value.undefined() != nullptr ||
         (list != nullptr && (list->kind == List::Kind::kList || list->kind == List::Kind::kTuple));
}
bool is_number(const Value& value) {  // a bool is one in Python
  return value.integer() != nullptr || value.real() != nullptr || value.boolean() != nullptr;
}
bool is_integer(const Value& value) {
  return value.integer() != nullptr;
}
bool is_float(const Value& value) {
  return value.real() != nullptr;
}
bool is_boolean(const Value& value) {
  return value.boolean() != nullptr;
}
bool is_the_true(const Value& value) {
  return value.boolean() != nullptr && *value.boolean();
}
bool is_the_false(const Value& value) {
  return value.boolean() != nullptr && !*value.boolean();
}
bool is_callable(const Value& value) {
  return value.function() != nullptr;
}
bool is_upper_text(const Value& value) {
  const std::string text = to_text(value);
  return text == upper(text) && text != lower(text);
}
bool is_lower_text(const Value& value) {
  const std::string text = to_text(value);
  return text == lower(text) && text != upper(text);
}
bool never(const Value& /*value*/) {
  return false;
}

std::int64_t integer_of(const Value& value, const char* test) {
  std::int64_t number = 0;
  if (!as_integer(value, &number)) {
    throw Fault{std::string(test) + " needs an integer, not '" + type_name(value) + "'"};
  }
  return number;
}
template <bool kOdd>
bool is_parity(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given(kOdd ? "odd" : "even", arguments, {});
  return (integer_of(value, kOdd ? "odd" : "even") % 2 != 0) == kOdd;
}
bool is_divisible(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("divisibleby", arguments, {"num"});
  const std::int64_t divisor = given.integer(0, 0);
  if (divisor == 0) {
    throw Fault{"divisibleby 0"};
  }
  return divisor == -1 || integer_of(value, "divisibleby") % divisor == 0;
}

enum class Relation { kEqual, kUnequal, kBelow, kAtMost, kAbove, kAtLeast, kIn };
template <Relation kRelation>
bool relates(Context& context, const Value& value, Arguments& arguments) {
  static constexpr const char* kOperations[] = {"==", "!=", "<", "<=", ">", ">=", "in"};
  const char* operation = kOperations[static_cast<int>(kRelation)];
  const BoundArguments given(operation, arguments, {"other"});
  return compare(context, operation, value, given.required(0));
}

bool is_same(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("sameas", arguments, {"other"});
  const Value& other = given.required(0);
  return type_name(value) == type_name(other) && is_equal(value, other);
}
bool is_filter(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("filter", arguments, {});
  return find_filter(to_text(value)) != nullptr;
}
bool is_test(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("test", arguments, {});
  return find_test(to_text(value)) != nullptr;
}

}  // namespace

Test find_test(std::string_view name) {
  static const std::unordered_map<std::string_view, Test> kTests = {
      {"defined", plain<is_defined>},
      {"undefined", plain<is_undefined>},
      {"none", plain<is_none>},
      {"string", plain<is_string>},
      {"mapping", plain<is_mapping>},
      {"iterable", plain<is_iterable>},
      {"sequence", plain<is_sequence>},
      {"number", plain<is_number>},
      {"integer", plain<is_integer>},
      {"float", plain<is_float>},
      {"boolean", plain<is_boolean>},
      {"true", plain<is_the_true>},
      {"false", plain<is_the_false>},
      {"callable", plain<is_callable>},
      {"upper", plain<is_upper_text>},
      {"lower", plain<is_lower_text>},
      {"escaped", plain<never>},
      {"odd", is_parity<true>},
      {"even", is_parity<false>},
      {"divisibleby", is_divisible},
      {"eq", relates<Relation::kEqual>},
      {"equalto", relates<Relation::kEqual>},
      {"==", relates<Relation::kEqual>},
      {"ne", relates<Relation::kUnequal>},
      {"!=", relates<Relation::kUnequal>},
      {"lt", relates<Relation::kBelow>},
      {"lessthan", relates<Relation::kBelow>},
      {"<", relates<Relation::kBelow>},
      {"le", relates<Relation::kAtMost>},
      {"<=", relates<Relation::kAtMost>},
      {"gt", relates<Relation::kAbove>},
      {"greaterthan", relates<Relation::kAbove>},
      {">", relates<Relation::kAbove>},
      {"ge", relates<Relation::kAtLeast>},
      {">=", relates<Relation::kAtLeast>},
      {"in", relates<Relation::kIn>},
      {"sameas", is_same},
      {"filter", is_filter},
      {"test", is_test}};
  const auto found = kTests.find(name);
  return found == kTests.end() ? nullptr : found->second;
}

}  // namespace finescale::jinja
