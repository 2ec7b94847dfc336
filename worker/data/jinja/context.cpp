// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/context.h"

#include <algorithm>

#include "worker/data/jinja/print.h"

namespace finescale::jinja {

class Namespace : public Object {
 public:
  [[nodiscard]] const char* type_name() const override { return "Namespace"; }
  [[nodiscard]] Value attribute(const std::string& name) const override {
    const Value* held = values_.find(name);
    return held == nullptr ? Value() : *held;
  }
  void assign(const std::string& name, Value value) override {
    if (name.starts_with('_')) {
      throw Fault{"an attribute of a namespace may not begin with an underscore: " + name};
    }
    values_.set(Value(name), std::move(value));
  }
  void clear() { values_.entries.clear(); }

 private:
  Dict values_;
};

namespace {

const Value* find(const Scope& scope, const std::string& name) {
  for (const auto& [known, value] : scope.names) {
    if (known == &name || *known == name) {
      return &value;
    }
  }
  return nullptr;
}

}  // namespace

Context::Context(const Limits& limits, std::optional<std::time_t> now)
    : budget_(limits), now_(now) {}

Context::~Context() {
  // Scopes and namespaces may refer to each other in a circle: emptied first, freed then.
  for (const auto& space : namespaces_) {
    space->clear();
  }
}

Value Context::lookup(const std::string& name) const {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    if (const Value* value = find(*scope, name)) {
      return *value;
    }
  }
  return Undefined{&name};
}

void Context::assign(const std::string& name, Value value) {
  for (auto& [known, held] : scope_->names) {
    if (known == &name || *known == name) {
      held = std::move(value);
      return;
    }
  }
  scope_->names.emplace_back(&name, std::move(value));
}

void Context::define_global(const std::string& name, Value value) {
  globals_.names.emplace_back(&name, std::move(value));
}

Scope& Context::push_scope(Scope* parent) {
  stack_.push_back(std::make_unique<Scope>());
  stack_.back()->parent = parent;
  scope_ = stack_.back().get();
  return *scope_;
}

void Context::pop_scope(Scope* previous) {
  if (stack_.back()->is_captured) {
    budget_.memory(sizeof(Scope) + stack_.back()->names.size() * sizeof(Value));
    captured_.push_back(std::move(stack_.back()));
  }
  stack_.pop_back();
  scope_ = previous;
}

void Context::capture_scope() {
  for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    scope->is_captured = true;
  }
}

void Context::write(std::string_view text) {
  budget_.output(output_->size() + text.size());
  if (in_buffer()) {
    budget_.memory(text.size());
  }
  output_->append(text);
}

std::string* Context::begin_buffer(std::string& buffer) {
  std::string* const previous = output_;
  output_ = &buffer;
  return previous;
}

void Context::end_buffer(std::string* previous) {
  output_ = previous;
}

Value Context::text(std::string made) {
  budget_.memory(made.size() + sizeof(std::string));
  budget_.steps(static_cast<std::int64_t>(made.size() / 16));
  return Value(std::move(made));
}

Value Context::list(std::vector<Value> items, List::Kind kind) {
  budget_.memory(items.size() * sizeof(Value) + sizeof(List));
  budget_.steps(static_cast<std::int64_t>(items.size()));
  List made;
  made.items = std::move(items);
  made.kind = kind;
  return Value(std::move(made));
}

Value Context::make_namespace(Arguments& arguments) {
  auto made = std::make_shared<Namespace>();
  budget_.memory(sizeof(Namespace));
  for (const Value& given : arguments.positional) {
    if (given.dict() == nullptr) {
      throw Fault{"namespace() takes a dict or name=value"};
    }
    for (const auto& [key, value] : given.dict()->entries) {
      made->assign(to_text(key), value);
    }
  }
  for (auto& [name, value] : arguments.named) {
    made->assign(name, std::move(value));
  }
  namespaces_.push_back(made);
  return Value(std::static_pointer_cast<Object>(made));
}

std::time_t Context::now() const {
  return now_ ? *now_ : std::time(nullptr);
}

BoundArguments::BoundArguments(const std::string& function, Arguments& arguments,
                               std::initializer_list<const char*> names)
    : function_(function), names_(names.begin(), names.end()), values_(names.size()) {
  if (arguments.positional.size() > names_.size()) {
    throw Fault{function + " takes at most " + std::to_string(names_.size()) + " arguments, " +
                std::to_string(arguments.positional.size()) + " were given"};
  }
  std::size_t index = 0;
  for (Value& value : arguments.positional) {
    values_[index++] = std::move(value);
  }
  for (auto& [name, value] : arguments.named) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end()) {
      throw Fault{function + " has no argument called " + name};
    }
    values_[static_cast<std::size_t>(found - names_.begin())] = std::move(value);
  }
}

const Value& BoundArguments::required(std::size_t index) const {
  if (!values_[index]) {
    throw Fault{function_ + " needs the argument " + names_[index]};
  }
  return *values_[index];
}

std::string BoundArguments::text(std::size_t index, const char* fallback) const {
  return values_[index] ? to_text(*values_[index]) : std::string(fallback);
}

std::int64_t BoundArguments::integer(std::size_t index, std::int64_t fallback) const {
  std::int64_t number = fallback;
  if (values_[index] && !values_[index]->is_none() && !as_integer(*values_[index], &number)) {
    throw Fault{function_ + ": " + names_[index] + " must be an integer"};
  }
  return number;
}

bool BoundArguments::flag(std::size_t index, bool fallback) const {
  return values_[index] ? is_true(*values_[index]) : fallback;
}

}  // namespace finescale::jinja
