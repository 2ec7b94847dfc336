// SPDX-License-Identifier: Apache-2.0
// The state of one rendering: scopes, what was written, what the generation blocks cover, limits.
#pragma once

#include <ctime>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "worker/data/jinja/value.h"

namespace finescale::jinja {

class Namespace;

struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<const std::string*, Value>> names;  // names of the template, which outlives
  bool is_captured = false;  // a macro was made in it: it lives until the end of the rendering
};

// Text [begin, end), bytes.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

class Context {
 public:
  Context(const Limits& limits, std::optional<std::time_t> now);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Undefined when it is nowhere.
  [[nodiscard]] Value lookup(const std::string& name) const;
  void assign(const std::string& name, Value value);
  void define_global(const std::string& name, Value value);

  Scope& push_scope(Scope* parent);
  void pop_scope(Scope* previous);
  [[nodiscard]] Scope* scope() const noexcept { return scope_; }
  // The current scope and those around it stay until the end.
  void capture_scope();

  void write(std::string_view text);
  // Until end_buffer, what is written goes into a text of its own.
  std::string* begin_buffer(std::string& buffer);
  void end_buffer(std::string* previous);
  [[nodiscard]] std::string& output() noexcept { return *output_; }
  [[nodiscard]] bool in_buffer() const noexcept { return output_ != &text_; }
  std::string take_text() { return std::move(text_); }
  std::vector<TextRange> generated;  // by generation blocks
  bool wants_ranges = false;

  Budget& budget() noexcept { return budget_; }
  // A new text, counted.
  Value text(std::string made);
  Value list(std::vector<Value> items, List::Kind kind = List::Kind::kList);
  Value make_namespace(Arguments& arguments);
  // The cost of looking through a value.
  void visit(const Value& value) { budget_.steps(1 + weight_of(value) / 16); }
  [[nodiscard]] std::time_t now() const;

  int line = 0;  // of the node that is evaluated, for errors

 private:
  std::string text_;
  std::string* output_ = &text_;
  Budget budget_;
  std::optional<std::time_t> now_;
  Scope globals_;
  Scope* scope_ = &globals_;
  std::deque<std::unique_ptr<Scope>> captured_;
  std::vector<std::unique_ptr<Scope>> stack_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;  // they may hold each other in a circle
};

// A node is entered for as long as this lives.
class Depth {
 public:
  explicit Depth(Context& context) : budget_(context.budget()) { budget_.enter(); }
  ~Depth() { budget_.leave(); }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  Budget& budget_;
};

// What a callable's arguments are by name: nothing for those not given. Throws Fault for one too
// many or unknown.
class BoundArguments {
 public:
  BoundArguments(const std::string& function, Arguments& arguments,
                 std::initializer_list<const char*> names);
  [[nodiscard]] const Value* operator[](std::size_t index) const {
    return values_[index] ? &*values_[index] : nullptr;
  }
  // Throws Fault when it was not given.
  [[nodiscard]] const Value& required(std::size_t index) const;
  [[nodiscard]] std::string text(std::size_t index, const char* fallback) const;
  [[nodiscard]] std::int64_t integer(std::size_t index, std::int64_t fallback) const;
  [[nodiscard]] bool flag(std::size_t index, bool fallback) const;

 private:
  std::string function_;
  std::vector<std::string> names_;
  std::vector<std::optional<Value>> values_;
};

}  // namespace finescale::jinja
