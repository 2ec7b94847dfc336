// SPDX-License-Identifier: Apache-2.0
// Values of a template, with Python's meaning. Everything but a namespace is immutable, so copies
// share what they hold (shared_ptr: a value lives in several scopes at once).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "worker/data/jinja/fault.h"

namespace finescale::jinja {

class Value;
class Context;
struct List;
struct Dict;
struct Arguments;

struct Undefined {
  // What was asked for and not there: a name of the template, which outlives the value. May be
  // null.
  const std::string* name = nullptr;
  bool is_attribute = false;
};
struct None {};

// What Python would call an instance: namespaces and `loop`.
class Object {
 public:
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
  [[nodiscard]] virtual const char* type_name() const = 0;
  // Null: there is no such attribute.
  [[nodiscard]] virtual Value attribute(const std::string& name) const = 0;
  // Only a namespace takes them.
  virtual void assign(const std::string& name, Value value);
  [[nodiscard]] virtual int depth() const { return 1; }
};

struct Function {
  std::string name;
  std::function<Value(Context&, Arguments&)> call;
  int depth = 1;
};

class Value {
 public:
  Value() = default;                                // undefined
  Value(Undefined undefined) : held_(undefined) {}  // NOLINT(google-explicit-constructor)
  Value(None none) : held_(none) {}                 // NOLINT(google-explicit-constructor)
  Value(bool value) : held_(value) {}               // NOLINT(google-explicit-constructor)
  Value(std::int64_t value) : held_(value) {}       // NOLINT(google-explicit-constructor)
  Value(double value) : held_(value) {}             // NOLINT(google-explicit-constructor)
  explicit Value(std::string text) : held_(std::make_shared<const std::string>(std::move(text))) {}
  explicit Value(const char* text) : Value(std::string(text)) {}
  explicit Value(List list);  // throws Fault when it is too deep or too large
  explicit Value(Dict dict);
  explicit Value(std::shared_ptr<Object> object) : held_(std::move(object)) {}
  explicit Value(Function function)
      : held_(std::make_shared<const Function>(std::move(function))) {}

  template <class T>
  [[nodiscard]] bool is() const {
    return std::holds_alternative<T>(held_);
  }
  [[nodiscard]] const Undefined* undefined() const { return std::get_if<Undefined>(&held_); }
  [[nodiscard]] bool is_none() const { return is<None>(); }
  [[nodiscard]] const bool* boolean() const { return std::get_if<bool>(&held_); }
  [[nodiscard]] const std::int64_t* integer() const { return std::get_if<std::int64_t>(&held_); }
  [[nodiscard]] const double* real() const { return std::get_if<double>(&held_); }
  [[nodiscard]] const std::string* text() const { return pointee<std::string>(); }
  [[nodiscard]] const List* list() const { return pointee<List>(); }
  [[nodiscard]] const Dict* dict() const { return pointee<Dict>(); }
  [[nodiscard]] const Function* function() const { return pointee<Function>(); }
  [[nodiscard]] Object* object() const {
    const auto* held = std::get_if<std::shared_ptr<Object>>(&held_);
    return held == nullptr ? nullptr : held->get();
  }

 private:
  template <class T>
  [[nodiscard]] const T* pointee() const {
    const auto* held = std::get_if<std::shared_ptr<const T>>(&held_);
    return held == nullptr ? nullptr : held->get();
  }
  std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<Object>,
               std::shared_ptr<const Function>>
      held_;
};

struct List {
  // A generator (what map and select give) is true even when it is empty and has no length.
  enum class Kind { kList, kTuple, kGenerator, kView };
  std::vector<Value> items;
  Kind kind = Kind::kList;
  // Set by Value: how deep lists lie in each other, and bytes and elements of all that is inside,
  // shared parts counted each time. They bound what printing or comparing costs.
  int depth = 1;
  std::int64_t weight = 1;
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion
  int depth = 1;                                 // both as in List
  std::int64_t weight = 1;
  [[nodiscard]] const Value* find(const Value& key) const;
  [[nodiscard]] const Value* find(std::string_view key) const;
  void set(Value key, Value value);
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

[[nodiscard]] std::int64_t weight_of(const Value& value);
// As Python's bool().
[[nodiscard]] bool is_true(const Value& value);
[[nodiscard]] bool is_equal(const Value& a, const Value& b);
// As Python's <. Throws Fault for what has no order.
[[nodiscard]] bool is_less(const Value& a, const Value& b);
[[nodiscard]] std::string type_name(const Value& value);
// An integer or bool as Python takes it where a number is wanted; false: it is neither.
[[nodiscard]] bool as_integer(const Value& value, std::int64_t* out);
[[nodiscard]] bool as_number(const Value& value, double* out);
// Throws Fault that says what is undefined.
[[noreturn]] void fail_undefined(const Undefined& undefined);
[[nodiscard]] std::int64_t length_of(const Value& value);          // throws Fault
[[nodiscard]] std::vector<Value> elements_of(const Value& value);  // throws Fault: not iterable
// Throws Fault when it lies too deep.
[[nodiscard]] Value from_json(const nlohmann::ordered_json& json, int depth = 0);

}  // namespace finescale::jinja
