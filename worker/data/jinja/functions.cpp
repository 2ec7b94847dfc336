// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/functions.h"

#include <array>

#include "worker/data/jinja/print.h"

namespace finescale::jinja {

namespace {

constexpr std::size_t kMaxDateFormat = 200;  // bytes

Value range(Context& context, Arguments& arguments) {
  const std::size_t given = arguments.positional.size();
  const BoundArguments bound("range", arguments, {"start", "stop", "step"});
  const std::int64_t first = given > 1 ? bound.integer(0, 0) : 0;
  const std::int64_t last = given > 1 ? bound.integer(1, 0) : bound.integer(0, 0);
  const std::int64_t step = bound.integer(2, 1);
  if (given == 0 || step == 0) {
    throw Fault{given == 0 ? "range needs a bound" : "the step of range is 0"};
  }
  std::vector<Value> items;
  for (std::int64_t at = first; step > 0 ? at < last : at > last;) {
    items.emplace_back(at);
    if (items.size() > kMaxRange) {
      throw Fault{"a range has more than " + std::to_string(kMaxRange) + " items"};
    }
    if (__builtin_add_overflow(at, step, &at)) {
      break;
    }
  }
  return context.list(std::move(items));
}

Value make_dict(Context& context, Arguments& arguments) {
  Dict out;
  if (arguments.positional.size() > 1) {
    throw Fault{"dict takes one dict or list of pairs"};
  }
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional.front();
    context.visit(from);
    if (from.dict() != nullptr) {
      out = *from.dict();
    } else {
      for (const Value& item : elements_of(from)) {
        const std::vector<Value> pair = elements_of(item);
        if (pair.size() != 2) {
          throw Fault{"dict takes one dict or list of pairs"};
        }
        out.set(pair[0], pair[1]);
        context.budget().steps(static_cast<std::int64_t>(out.entries.size()) / 8);
      }
    }
  }
  for (auto& [name, value] : arguments.named) {
    out.set(Value(name), std::move(value));
  }
  context.budget().memory(out.entries.size() * 2 * sizeof(Value));
  return Value(std::move(out));
}

Value raise_exception(Context& /*context*/, Arguments& arguments) {
  const BoundArguments given("raise_exception", arguments, {"message"});
  throw Fault{"the template refuses: " + to_text(given.required(0))};
}

Value strftime_now(Context& context, Arguments& arguments) {
  const BoundArguments given("strftime_now", arguments, {"format"});
  const std::string format = to_text(given.required(0));
  if (format.size() > kMaxDateFormat) {
    throw Fault{"the format of strftime_now is too long"};
  }
  if (format.empty()) {
    return context.text("");
  }
  const std::time_t now = context.now();
  std::tm local{};
  ::localtime_r(&now, &local);
  std::array<char, 4096> buffer{};
  // A blank more, so that an empty result and one that does not fit differ.
  const std::size_t size =
      std::strftime(buffer.data(), buffer.size(), (format + " ").c_str(), &local);
  if (size == 0) {
    throw Fault{"the format of strftime_now makes too long a text"};
  }
  return context.text(std::string(buffer.data(), size - 1));
}

void define(Context& context, const std::string& name, Value (*function)(Context&, Arguments&)) {
  Function made;
  made.name = name;
  made.call = function;
  context.define_global(name, Value(std::move(made)));
}

}  // namespace

void define_functions(Context& context) {
  static const std::array<std::string, 5> kNames = {"range", "namespace", "dict", "raise_exception",
                                                    "strftime_now"};
  define(context, kNames[0], range);
  define(context, kNames[1],
         [](Context& at, Arguments& given) { return at.make_namespace(given); });
  define(context, kNames[2], make_dict);
  define(context, kNames[3], raise_exception);
  define(context, kNames[4], strftime_now);
}

}  // namespace finescale::jinja
