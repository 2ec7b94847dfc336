// SPDX-License-Identifier: Apache-2.0
// Methods of texts.
#include <algorithm>
#include <unordered_map>

#include "worker/data/jinja/context.h"
#include "worker/data/jinja/methods.h"
#include "worker/data/jinja/text.h"

namespace finescale::jinja {

namespace {

using Text = const std::string&;

const std::string& text_argument(const BoundArguments& given, std::size_t index) {
  const Value& value = given.required(index);
  if (value.text() == nullptr) {
    throw Fault{"a string is needed, not '" + type_name(value) + "'"};
  }
  return *value.text();
}

template <Side kSide>
Value strip_method(Context& context, Text self, Arguments& arguments) {
  const BoundArguments given("strip", arguments, {"chars"});
  const bool has = given[0] != nullptr && !given[0]->is_none();
  const std::string chars = has ? text_argument(given, 0) : std::string();
  context.budget().steps(static_cast<std::int64_t>(self.size() * (1 + chars.size()) / 64));
  return context.text(std::string(strip(self, kSide, chars, has)));
}

template <bool kFromRight>
Value split_method(Context& context, Text self, Arguments& arguments) {
  const BoundArguments given("split", arguments, {"sep", "maxsplit"});
  const std::int64_t max = given.integer(1, -1);
  std::vector<std::string> parts;
  if (given[0] == nullptr || given[0]->is_none()) {
    if (kFromRight && max >= 0) {
      throw Fault{"rsplit at white space with a limit is not supported"};
    }
    parts = split_words(self, max);
  } else {
    const std::string& separator = text_argument(given, 0);
    if (separator.empty()) {
      throw Fault{"split: the separator is empty"};
    }
    parts = split(self, separator, max, kFromRight);
  }
  context.budget().memory(self.size() + parts.size() * sizeof(std::string));
  std::vector<Value> items;
  for (std::string& part : parts) {
    items.emplace_back(std::move(part));
  }
  return context.list(std::move(items));
}

Value partition_method(Context& context, Text self, Arguments& arguments) {
  const BoundArguments given("partition", arguments, {"sep"});
  const std::string& separator = text_argument(given, 0);
  const std::size_t at = self.find(separator);
  std::vector<Value> parts(3, Value(std::string()));
  parts[0] = context.text(self.substr(0, at));
  if (at != std::string::npos) {
    parts[1] = context.text(separator);
    parts[2] = context.text(self.substr(at + separator.size()));
  }
  return context.list(std::move(parts), List::Kind::kTuple);
}

// startswith and endswith: a text, or a tuple of them.
template <bool kEnd>
Value affix_method(Context& /*context*/, Text self, Arguments& arguments) {
  const BoundArguments given(kEnd ? "endswith" : "startswith", arguments, {"affix"});
  const Value& affix = given.required(0);
  const auto fits = [&self](const Value& value) {
    if (value.text() == nullptr) {
      throw Fault{"a string is needed, not '" + type_name(value) + "'"};
    }
    return kEnd ? self.ends_with(*value.text()) : self.starts_with(*value.text());
  };
  if (const List* list = affix.list()) {
    return std::any_of(list->items.begin(), list->items.end(), fits);
  }
  return fits(affix);
}

template <bool kEnd>
Value remove_affix_method(Context& context, Text self, Arguments& arguments) {
  const BoundArguments given(kEnd ? "removesuffix" : "removeprefix", arguments, {"affix"});
  const std::string& affix = text_argument(given, 0);
  const bool has = kEnd ? self.ends_with(affix) : self.starts_with(affix);
  const std::size_t size = has ? affix.size() : 0;
  return context.text(self.substr(kEnd ? 0 : size, self.size() - size));
}

Value replace_method(Context& context, Text self, Arguments& arguments) {
  const BoundArguments given("replace", arguments, {"old", "new", "count"});
  const std::string& to = text_argument(given, 1);
  if (to.size() * (self.size() + 1) > static_cast<std::size_t>(kMaxValueWeight)) {
    context.budget().memory(to.size() * (self.size() + 1));  // the most that can come out
  }
  return context.text(replace(self, text_argument(given, 0), to, given.integer(2, -1)));
}

template <bool kFromRight>
Value find_method_of(Context& /*context*/, Text self, Arguments& arguments) {
  const BoundArguments given("find", arguments, {"sub"});
  const std::string& wanted = text_argument(given, 0);
  const std::size_t at = kFromRight ? self.rfind(wanted) : self.find(wanted);
  return at == std::string::npos
             ? std::int64_t{-1}
             : static_cast<std::int64_t>(num_code_points(std::string_view(self).substr(0, at)));
}

Value count_method(Context& /*context*/, Text self, Arguments& arguments) {
  const BoundArguments given("count", arguments, {"sub"});
  const std::string& wanted = text_argument(given, 0);
  return wanted.empty() ? static_cast<std::int64_t>(num_code_points(self)) + 1
                        : static_cast<std::int64_t>(split(self, wanted, -1, false).size()) - 1;
}

Value join_method(Context& context, Text self, Arguments& arguments) {
  const BoundArguments given("join", arguments, {"iterable"});
  std::string out;
  std::size_t index = 0;
  for (const Value& item : elements_of(given.required(0))) {
    if (item.text() == nullptr) {
      throw Fault{"join: a string is needed, not '" + type_name(item) + "'"};
    }
    out += (index++ > 0 ? self : std::string()) + *item.text();
    context.budget().output(out.size());
  }
  return context.text(std::move(out));
}

Value lines_method(Context& context, Text self, Arguments& arguments) {
  const BoundArguments given("splitlines", arguments, {"keepends"});
  std::vector<Value> items;
  for (std::string& line : split_lines(self, given.flag(0, false))) {
    items.emplace_back(std::move(line));
  }
  context.budget().memory(self.size());
  return context.list(std::move(items));
}

template <std::string (*kChange)(std::string_view)>
Value change_method(Context& context, Text self, Arguments& arguments) {
  const BoundArguments given("the method", arguments, {});
  return context.text(kChange(self));
}

template <bool (*kIs)(std::string_view)>
Value is_method(Context& /*context*/, Text self, Arguments& arguments) {
  const BoundArguments given("the method", arguments, {});
  return kIs(self);
}

bool is_upper(std::string_view text) {
  return text == upper(text) && text != lower(text);
}
bool is_lower(std::string_view text) {
  return text == lower(text) && text != upper(text);
}

}  // namespace

TextMethod find_text_method(std::string_view name) {
  static const std::unordered_map<std::string_view, TextMethod> kMethods = {
      {"strip", strip_method<Side::kBoth>},
      {"lstrip", strip_method<Side::kLeft>},
      {"rstrip", strip_method<Side::kRight>},
      {"split", split_method<false>},
      {"rsplit", split_method<true>},
      {"splitlines", lines_method},
      {"partition", partition_method},
      {"startswith", affix_method<false>},
      {"endswith", affix_method<true>},
      {"removeprefix", remove_affix_method<false>},
      {"removesuffix", remove_affix_method<true>},
      {"replace", replace_method},
      {"find", find_method_of<false>},
      {"rfind", find_method_of<true>},
      {"count", count_method},
      {"join", join_method},
      {"upper", change_method<upper>},
      {"lower", change_method<lower>},
      {"title", change_method<title>},
      {"capitalize", change_method<capitalize>},
      {"isspace", is_method<all_space>},
      {"isdigit", is_method<all_digits>},
      {"isalpha", is_method<all_letters>},
      {"isalnum", is_method<all_letters_or_digits>},
      {"isupper", is_method<is_upper>},
      {"islower", is_method<is_lower>}};
  const auto found = kMethods.find(name);
  return found == kMethods.end() ? nullptr : found->second;
}

}  // namespace finescale::jinja
