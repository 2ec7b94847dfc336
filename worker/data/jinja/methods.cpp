// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/methods.h"

#include <algorithm>
#include <array>

#include "worker/data/jinja/context.h"

namespace finescale::jinja {

namespace {

Value bound(const std::string& name, int depth, std::function<Value(Context&, Arguments&)> method) {
  Function function;
  function.name = name;
  function.call = std::move(method);
  function.depth = depth + 1;
  return Value(std::move(function));
}

// keys, values, items
Value view(Context& context, const Dict& dict, std::string_view which) {
  std::vector<Value> out;
  for (const auto& [key, value] : dict.entries) {
    out.push_back(which == "keys"     ? key
                  : which == "values" ? value
                                      : context.list({key, value}, List::Kind::kTuple));
  }
  return context.list(std::move(out), List::Kind::kView);
}

Value dict_method(const Value& self, const std::string& name) {
  if (name == "keys" || name == "values" || name == "items") {
    return bound(name, self.dict()->depth, [self, name](Context& context, Arguments& arguments) {
      const BoundArguments given(name, arguments, {});
      return view(context, *self.dict(), name);
    });
  }
  if (name == "get") {
    return bound(name, self.dict()->depth, [self](Context& /*context*/, Arguments& arguments) {
      const BoundArguments given("get", arguments, {"key", "default"});
      const Value* held = self.dict()->find(given.required(0));
      return held != nullptr ? *held : given[1] != nullptr ? *given[1] : Value(None{});
    });
  }
  if (name == "copy") {
    return bound(name, self.dict()->depth,
                 [self](Context& /*context*/, Arguments&) { return self; });
  }
  return {};
}

Value list_method(const Value& self, const std::string& name) {
  static constexpr std::array<std::string_view, 8> kChanging = {
      "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
  if (self.list()->kind == List::Kind::kList &&
      std::find(kChanging.begin(), kChanging.end(), name) != kChanging.end()) {
    throw Fault{"access to attribute '" + name +
                "' of a list is not allowed: values do not change"};
  }
  if (name != "index" && name != "count") {
    return {};
  }
  return bound(
      name, self.list()->depth, [self, name](Context& context, Arguments& arguments) -> Value {
        const BoundArguments given(name, arguments, {"value"});
        context.visit(self);
        const std::vector<Value>& items = self.list()->items;
        const auto same = [&given](const Value& item) { return is_equal(item, given.required(0)); };
        if (name == "count") {
          return static_cast<std::int64_t>(std::count_if(items.begin(), items.end(), same));
        }
        const auto found = std::find_if(items.begin(), items.end(), same);
        if (found == items.end()) {
          throw Fault{"index: the value is not in the list"};
        }
        return static_cast<std::int64_t>(found - items.begin());
      });
}

}  // namespace

Value find_method(const Value& object, const std::string& name) {
  if (object.dict() != nullptr) {
    return dict_method(object, name);
  }
  if (object.list() != nullptr) {
    return list_method(object, name);
  }
  if (object.text() == nullptr) {
    return {};
  }
  const TextMethod method = find_text_method(name);
  if (method == nullptr) {
    return {};
  }
  return bound(name, 0, [object, method](Context& context, Arguments& arguments) {
    context.visit(object);
    return method(context, *object.text(), arguments);
  });
}

}  // namespace finescale::jinja
