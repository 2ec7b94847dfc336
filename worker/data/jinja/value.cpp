// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/value.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "worker/data/jinja/text.h"

namespace finescale::jinja {

namespace {

int depth_of(const Value& value) {
  if (const List* list = value.list()) {
    return list->depth;
  }
  if (const Dict* dict = value.dict()) {
    return dict->depth;
  }
  if (const Object* object = value.object()) {
    return object->depth();
  }
  const Function* function = value.function();
  return function == nullptr ? 0 : function->depth;
}

// What is around values of this depth and weight.
template <class Container>
void set_size(Container& made, int depth, std::int64_t weight) {
  if (depth >= kMaxValueDepth) {
    throw Fault{"lists and dicts lie more than " + std::to_string(kMaxValueDepth) +
                " deep in each other"};
  }
  if (weight > kMaxValueWeight) {
    throw Fault{"a list or dict holds more than " + std::to_string(kMaxValueWeight) + " bytes"};
  }
  made.depth = depth + 1;
  made.weight = weight + 1;
}

}  // namespace

void Object::assign(const std::string& name, Value /*value*/) {
  throw Fault{std::string("cannot set attribute '") + name + "' of a " + type_name() +
              ": only a namespace takes attributes"};
}

Value::Value(List list) {
  int depth = 0;
  std::int64_t weight = 0;
  for (const Value& item : list.items) {
    depth = std::max(depth, depth_of(item));
    weight += weight_of(item);
  }
  set_size(list, depth, weight);
  held_ = std::make_shared<const List>(std::move(list));
}

Value::Value(Dict dict) {
  int depth = 0;
  std::int64_t weight = 0;
  for (const auto& [key, value] : dict.entries) {
    depth = std::max({depth, depth_of(key), depth_of(value)});
    weight += weight_of(key) + weight_of(value);
  }
  set_size(dict, depth, weight);
  held_ = std::make_shared<const Dict>(std::move(dict));
}

std::int64_t weight_of(const Value& value) {
  if (const std::string* text = value.text()) {
    return 1 + static_cast<std::int64_t>(text->size());
  }
  if (const List* list = value.list()) {
    return list->weight;
  }
  return value.dict() != nullptr ? value.dict()->weight : 1;
}

const Value* Dict::find(const Value& key) const {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&key](const auto& entry) { return is_equal(entry.first, key); });
  return found == entries.end() ? nullptr : &found->second;
}

const Value* Dict::find(std::string_view key) const {
  const auto found = std::find_if(entries.begin(), entries.end(), [key](const auto& entry) {
    const std::string* text = entry.first.text();
    return text != nullptr && *text == key;
  });
  return found == entries.end() ? nullptr : &found->second;
}

void Dict::set(Value key, Value value) {
  if (const Value* known = find(key)) {
    const auto index = static_cast<std::size_t>(
        std::find_if(entries.begin(), entries.end(),
                     [known](const auto& entry) { return &entry.second == known; }) -
        entries.begin());
    entries[index].second = std::move(value);
    return;
  }
  entries.emplace_back(std::move(key), std::move(value));
}

std::string type_name(const Value& value) {
  if (value.list() != nullptr) {
    switch (value.list()->kind) {
      case List::Kind::kList:
        return "list";
      case List::Kind::kTuple:
        return "tuple";
      case List::Kind::kGenerator:
        return "generator";
      case List::Kind::kView:
        return "dict view";
    }
  }
  return value.undefined() != nullptr  ? "Undefined"
         : value.is_none()             ? "NoneType"
         : value.boolean() != nullptr  ? "bool"
         : value.integer() != nullptr  ? "int"
         : value.real() != nullptr     ? "float"
         : value.text() != nullptr     ? "str"
         : value.dict() != nullptr     ? "dict"
         : value.function() != nullptr ? "function"
                                       : value.object()->type_name();
}

bool as_integer(const Value& value, std::int64_t* out) {
  if (const std::int64_t* integer = value.integer()) {
    *out = *integer;
    return true;
  }
  if (const bool* flag = value.boolean()) {
    *out = *flag ? 1 : 0;
    return true;
  }
  return false;
}

bool as_number(const Value& value, double* out) {
  std::int64_t integer = 0;
  if (as_integer(value, &integer)) {
    *out = static_cast<double>(integer);
    return true;
  }
  if (const double* real = value.real()) {
    *out = *real;
    return true;
  }
  return false;
}

void fail_undefined(const Undefined& undefined) {
  if (undefined.name == nullptr) {
    throw Fault{"a value is undefined"};
  }
  throw Fault{undefined.is_attribute ? "there is no attribute '" + *undefined.name + "'"
                                     : "'" + *undefined.name + "' is undefined"};
}

std::int64_t length_of(const Value& value) {
  if (value.undefined() != nullptr) {
    return 0;
  }
  if (const std::string* text = value.text()) {
    return static_cast<std::int64_t>(num_code_points(*text));
  }
  if (const Dict* dict = value.dict()) {
    return static_cast<std::int64_t>(dict->entries.size());
  }
  const List* list = value.list();
  if (list == nullptr || list->kind == List::Kind::kGenerator) {
    throw Fault{"a value of type '" + type_name(value) + "' has no length"};
  }
  return static_cast<std::int64_t>(list->items.size());
}

std::vector<Value> elements_of(const Value& value) {
  if (const List* list = value.list()) {
    return list->items;
  }
  std::vector<Value> elements;
  if (const Dict* dict = value.dict()) {
    for (const auto& [key, held] : dict->entries) {
      elements.push_back(key);
    }
  } else if (const std::string* text = value.text()) {
    for (std::size_t at = 0; at < text->size();) {
      const std::size_t size = code_point_size(*text, at);
      elements.emplace_back(text->substr(at, size));
      at += size;
    }
  } else if (value.undefined() == nullptr) {
    throw Fault{"a value of type '" + type_name(value) + "' is not iterable"};
  }
  return elements;
}

Value from_json(const nlohmann::ordered_json& json, int depth) {
  if (depth >= kMaxValueDepth) {
    throw Fault{"lists and objects lie more than " + std::to_string(kMaxValueDepth) +
                " deep in each other"};
  }
  using Kind = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Kind::boolean:
      return json.get<bool>();
    case Kind::number_integer:
      return json.get<std::int64_t>();
    case Kind::number_unsigned:
      if (json.get<std::uint64_t>() <= INT64_MAX) {
        return json.get<std::int64_t>();
      }
      return json.get<double>();
    case Kind::number_float:
      return json.get<double>();
    case Kind::string:
      return Value(json.get<std::string>());
    case Kind::array: {
      List list;
      for (const auto& item : json) {
        list.items.push_back(from_json(item, depth + 1));
      }
      return Value(std::move(list));
    }
    case Kind::object: {
      Dict dict;
      for (const auto& [key, item] : json.items()) {
        dict.entries.emplace_back(Value(key), from_json(item, depth + 1));
      }
      return Value(std::move(dict));
    }
    case Kind::null:
    case Kind::binary:
    case Kind::discarded:
      break;
  }
  return None{};
}

}  // namespace finescale::jinja
