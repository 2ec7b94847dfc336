// SPDX-License-Identifier: Apache-2.0
// Filters of sequences and dicts.
#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "worker/data/jinja/expression.h"
#include "worker/data/jinja/filters.h"
#include "worker/data/jinja/print.h"
#include "worker/data/jinja/tests.h"
#include "worker/data/jinja/text.h"

namespace finescale::jinja {

namespace {

// 'a.b.0' of a value; `fallback` where a part is undefined.
Value path_of(Context& context, Value value, const Value& path, const Value* fallback) {
  std::vector<std::string> parts;
  if (path.text() != nullptr) {
    parts = split(*path.text(), ".", -1, false);
  } else {
    return get_item(context, value, path);
  }
  for (const std::string& part : parts) {
    std::int64_t index = 0;
    const bool is_index = std::from_chars(part.data(), part.data() + part.size(), index).ptr ==
                              part.data() + part.size() &&
                          !part.empty();
    value = get_item(context, value, is_index ? Value(index) : context.text(part));
    if (fallback != nullptr && value.undefined() != nullptr) {
      return *fallback;
    }
  }
  return value;
}

Value join_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("join", arguments, {"d", "attribute"});
  const std::string separator = given.text(0, "");
  std::string out;
  std::size_t index = 0;
  for (const Value& item : elements_of(value)) {
    out += index++ > 0 ? separator : "";
    out += to_text(given[1] != nullptr ? path_of(context, item, *given[1], nullptr) : item);
    context.budget().output(out.size());
  }
  return context.text(std::move(out));
}

Value first_filter(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("first", arguments, {});
  const std::vector<Value> items = elements_of(value);
  return items.empty() ? Value() : items.front();
}

Value last_filter(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("last", arguments, {});
  const std::vector<Value> items = elements_of(value);
  return items.empty() ? Value() : items.back();
}

Value list_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("list", arguments, {});
  return context.list(elements_of(value));
}

Value reverse_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("reverse", arguments, {});
  std::vector<Value> items = elements_of(value);
  std::reverse(items.begin(), items.end());
  if (value.text() == nullptr) {
    return context.list(std::move(items), List::Kind::kGenerator);
  }
  std::string out;
  for (const Value& item : items) {
    out += *item.text();
  }
  return context.text(std::move(out));
}

// Takes the first argument of a call away.
Value shift(Arguments& arguments, const char* what) {
  if (arguments.positional.empty()) {
    throw Fault{std::string(what) + " is missing"};
  }
  Value first = std::move(arguments.positional.front());
  arguments.positional.erase(arguments.positional.begin());
  return first;
}

// map('upper'), map('join', ', '), map(attribute='name', default='none')
Value map_filter(Context& context, const Value& value, Arguments& arguments) {
  std::vector<Value> out;
  const bool by_filter = !arguments.positional.empty();
  if (!by_filter) {
    const BoundArguments given("map", arguments, {"attribute", "default"});
    for (const Value& item : elements_of(value)) {
      out.push_back(path_of(context, item, given.required(0), given[1]));
    }
    return context.list(std::move(out), List::Kind::kGenerator);
  }
  const std::string name = to_text(shift(arguments, "map: the filter"));
  const Filter filter = find_filter(name);
  if (filter == nullptr) {
    throw Fault{"there is no filter " + name};
  }
  const Depth entered(context);  // a filter may be map again
  for (const Value& item : elements_of(value)) {
    Arguments copy = arguments;
    context.visit(item);
    out.push_back(filter(context, item, copy));
  }
  return context.list(std::move(out), List::Kind::kGenerator);
}

// select, reject: by a test of the item; selectattr, rejectattr: of an attribute.
template <bool kKeep, bool kAttribute>
Value select_filter(Context& context, const Value& value, Arguments& arguments) {
  Value path;
  if constexpr (kAttribute) {
    path = shift(arguments, "the attribute");
  }
  Test test = nullptr;
  if (!arguments.positional.empty()) {
    const std::string name = to_text(shift(arguments, "the test"));
    test = find_test(name);
    if (test == nullptr) {
      throw Fault{"there is no test " + name};
    }
  }
  std::vector<Value> out;
  for (const Value& item : elements_of(value)) {
    const Value tested = kAttribute ? path_of(context, item, path, nullptr) : item;
    context.visit(tested);
    Arguments copy = arguments;
    if ((test == nullptr ? is_true(tested) : test(context, tested, copy)) == kKeep) {
      out.push_back(item);
    }
  }
  return context.list(std::move(out), List::Kind::kGenerator);
}

// What is compared: the attribute if one is named, texts in lower case unless told otherwise.
Value sort_key(Context& context, const Value& item, const Value* path, bool case_sensitive) {
  const Value key =
      path == nullptr || path->is_none() ? item : path_of(context, item, *path, nullptr);
  return case_sensitive || key.text() == nullptr ? key : context.text(lower(*key.text()));
}

std::vector<Value> sorted(Context& context, std::vector<Value> items, const Value* path,
                          bool case_sensitive, bool descending) {
  std::vector<std::pair<Value, std::size_t>> keys;
  for (std::size_t i = 0; i < items.size(); ++i) {
    keys.emplace_back(sort_key(context, items[i], path, case_sensitive), i);
  }
  std::stable_sort(keys.begin(), keys.end(), [&](const auto& a, const auto& b) {
    context.visit(a.first);
    return descending ? is_less(b.first, a.first) : is_less(a.first, b.first);
  });
  std::vector<Value> out;
  out.reserve(keys.size());
  for (const auto& [key, index] : keys) {
    out.push_back(items[index]);
  }
  return out;
}

Value sort_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  return context.list(
      sorted(context, elements_of(value), given[2], given.flag(1, false), given.flag(0, false)));
}

Value dictsort_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  if (value.dict() == nullptr) {
    throw Fault{"dictsort needs a dict, not '" + type_name(value) + "'"};
  }
  const std::string by = given.text(1, "key");
  if (by != "key" && by != "value") {
    throw Fault{"dictsort: by must be key or value"};
  }
  std::vector<Value> pairs;
  for (const auto& [key, held] : value.dict()->entries) {
    pairs.push_back(context.list({key, held}, List::Kind::kTuple));
  }
  const Value index(std::int64_t{by == "key" ? 0 : 1});
  return context.list(
      sorted(context, std::move(pairs), &index, given.flag(0, false), given.flag(2, false)));
}

Value unique_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("unique", arguments, {"case_sensitive", "attribute"});
  std::vector<Value> seen;
  std::vector<Value> out;
  for (const Value& item : elements_of(value)) {
    Value key = sort_key(context, item, given[1], given.flag(0, false));
    context.budget().steps(static_cast<std::int64_t>(seen.size()));
    if (std::none_of(seen.begin(), seen.end(),
                     [&key](const Value& other) { return is_equal(key, other); })) {
      seen.push_back(std::move(key));
      out.push_back(item);
    }
  }
  return context.list(std::move(out), List::Kind::kGenerator);
}

Value sum_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("sum", arguments, {"attribute", "start"});
  Value total = given[1] != nullptr ? *given[1] : Value(std::int64_t{0});
  for (const Value& item : elements_of(value)) {
    total = add(context, total,
                given[0] == nullptr || given[0]->is_none()
                    ? item
                    : path_of(context, item, *given[0], nullptr));
  }
  return total;
}

template <bool kMax>
Value extreme_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given(kMax ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const std::vector<Value> items =
      sorted(context, elements_of(value), given[1], given.flag(0, false), kMax);
  return items.empty() ? Value() : items.front();
}

}  // namespace

Filter find_sequence_filter(std::string_view name) {
  static const std::unordered_map<std::string_view, Filter> kFilters = {
      {"join", join_filter},
      {"first", first_filter},
      {"last", last_filter},
      {"list", list_filter},
      {"reverse", reverse_filter},
      {"map", map_filter},
      {"select", select_filter<true, false>},
      {"reject", select_filter<false, false>},
      {"selectattr", select_filter<true, true>},
      {"rejectattr", select_filter<false, true>},
      {"sort", sort_filter},
      {"dictsort", dictsort_filter},
      {"unique", unique_filter},
      {"sum", sum_filter},
      {"min", extreme_filter<false>},
      {"max", extreme_filter<true>}};
  const auto found = kFilters.find(name);
  return found == kFilters.end() ? nullptr : found->second;
}

}  // namespace finescale::jinja
