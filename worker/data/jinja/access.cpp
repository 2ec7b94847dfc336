// SPDX-License-Identifier: Apache-2.0
// Attributes, items, slices and calls.
#include "worker/data/jinja/expression.h"
#include "worker/data/jinja/methods.h"
#include "worker/data/jinja/print.h"
#include "worker/data/jinja/text.h"

namespace finescale::jinja {

namespace {

// A position counted from the end when it is negative; false: outside.
bool position(std::int64_t index, std::size_t size, std::size_t* out) {
  const auto length = static_cast<std::int64_t>(size);
  const std::int64_t from_start = index < 0 ? index + length : index;
  *out = static_cast<std::size_t>(from_start);
  return from_start >= 0 && from_start < length;
}

// Positions of a slice as Python takes them.
std::vector<std::size_t> slice_positions(const Value& start, const Value& stop, const Value& step,
                                         std::int64_t length) {
  const auto bound = [](const Value& value, std::int64_t fallback) {
    std::int64_t number = fallback;
    if (!value.is_none() && !as_integer(value, &number)) {
      if (value.undefined() != nullptr) {
        fail_undefined(*value.undefined());
      }
      throw Fault{"bounds of a slice must be integers, not '" + type_name(value) + "'"};
    }
    return number;
  };
  const std::int64_t by = bound(step, 1);
  if (by == 0) {
    throw Fault{"the step of a slice is 0"};
  }
  const std::int64_t low = by > 0 ? 0 : -1;
  const std::int64_t high = by > 0 ? length : length - 1;
  const auto clip = [&](std::int64_t at) {
    return std::clamp(at < 0 ? at + length : at, low, high);
  };
  const std::int64_t first = start.is_none() ? (by > 0 ? low : high) : clip(bound(start, 0));
  const std::int64_t last = stop.is_none() ? (by > 0 ? high : low) : clip(bound(stop, 0));
  std::vector<std::size_t> positions;
  // Compared as a difference: first + by could leave 64 bits.
  for (std::int64_t at = first; by > 0 ? at < last : at > last;) {
    positions.push_back(static_cast<std::size_t>(at));
    if (by > 0 ? by >= last - at : by <= last - at) {
      break;
    }
    at += by;
  }
  return positions;
}

}  // namespace

Value get_attribute(Context& context, const Value& object, const std::string& name) {
  if (object.undefined() != nullptr) {
    fail_undefined(*object.undefined());
  }
  if (object.object() != nullptr) {
    Value value = object.object()->attribute(name);
    return value.undefined() != nullptr ? Value(Undefined{&name, true}) : value;
  }
  Value method = find_method(object, name);  // first, also where a key has its name
  if (method.undefined() == nullptr) {
    return method;
  }
  if (const Dict* dict = object.dict()) {
    context.budget().steps(static_cast<std::int64_t>(dict->entries.size() / 8));
    if (const Value* held = dict->find(name)) {
      return *held;
    }
  }
  return Undefined{&name, true};
}

Value get_item(Context& context, const Value& object, const Value& index) {
  if (object.undefined() != nullptr) {
    fail_undefined(*object.undefined());
  }
  if (const Dict* dict = object.dict()) {
    context.budget().steps(static_cast<std::int64_t>(dict->entries.size() / 8));
    if (const Value* held = dict->find(index)) {
      return *held;
    }
  }
  if (const std::string* name = index.text()) {
    if (object.object() != nullptr) {
      return object.object()->attribute(*name);
    }
    return find_method(object, *name);
  }
  std::int64_t number = 0;
  std::size_t at = 0;
  if (!as_integer(index, &number)) {
    return {};
  }
  if (const List* list = object.list();
      list != nullptr && list->kind != List::Kind::kGenerator && list->kind != List::Kind::kView) {
    return position(number, list->items.size(), &at) ? list->items[at] : Value();
  }
  if (const std::string* text = object.text()) {
    context.visit(object);
    if (!position(number, num_code_points(*text), &at)) {
      return {};
    }
    const std::size_t begin = byte_offset(*text, at);
    return context.text(text->substr(begin, code_point_size(*text, begin)));
  }
  return {};
}

Value get_slice(Context& context, const Value& object, const Value& start, const Value& stop,
                const Value& step) {
  if (object.undefined() != nullptr) {
    fail_undefined(*object.undefined());
  }
  context.visit(object);
  if (const List* list = object.list();
      list != nullptr && list->kind != List::Kind::kGenerator && list->kind != List::Kind::kView) {
    std::vector<Value> items;
    for (const std::size_t at : slice_positions(start, stop, step, length_of(object))) {
      items.push_back(list->items[at]);
    }
    return context.list(std::move(items), list->kind);
  }
  if (const std::string* text = object.text()) {
    std::vector<std::size_t> offsets;  // of every code point
    for (std::size_t at = 0; at < text->size(); at += code_point_size(*text, at)) {
      offsets.push_back(at);
    }
    context.budget().memory(offsets.size() * 2 * sizeof(std::size_t));
    std::string out;
    for (const std::size_t at :
         slice_positions(start, stop, step, static_cast<std::int64_t>(offsets.size()))) {
      out += text->substr(offsets[at], code_point_size(*text, offsets[at]));
    }
    return context.text(std::move(out));
  }
  throw Fault{"a value of type '" + type_name(object) + "' cannot be sliced"};
}

Value call(Context& context, const Value& callee, Arguments& arguments) {
  if (callee.undefined() != nullptr) {
    fail_undefined(*callee.undefined());
  }
  const Function* function = callee.function();
  if (function == nullptr) {
    throw Fault{"a value of type '" + type_name(callee) + "' cannot be called"};
  }
  return function->call(context, arguments);
}

}  // namespace finescale::jinja
