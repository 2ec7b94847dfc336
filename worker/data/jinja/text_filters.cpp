// SPDX-License-Identifier: Apache-2.0
// Filters of texts. As Jinja's, they take the text of whatever they are given.
#include <unordered_map>

#include "worker/data/jinja/filters.h"
#include "worker/data/jinja/format.h"
#include "worker/data/jinja/print.h"
#include "worker/data/jinja/text.h"

namespace finescale::jinja {

namespace {

Value trim_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("trim", arguments, {"chars"});
  const bool has = given[0] != nullptr && !given[0]->is_none();
  return context.text(
      std::string(strip(to_text(value), Side::kBoth, has ? given.text(0, "") : "", has)));
}

template <std::string (*kChange)(std::string_view)>
Value change_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("the filter", arguments, {});
  return context.text(kChange(to_text(value)));
}

// Jinja's own: words begin behind white space, -, (, {, [ and <.
std::string title_words(std::string_view text) {
  std::string out;
  std::size_t begin = 0;
  const auto flush = [&](std::size_t end) {
    if (end > begin) {
      const std::size_t first = code_point_size(text, begin);
      out += upper(text.substr(begin, first));
      out += lower(text.substr(begin + first, end - begin - first));
    }
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = code_point_size(text, at);
    const std::string_view character = text.substr(at, size);
    if (all_space(character) ||
        (size == 1 && std::string_view("-({[<").find(character) != std::string_view::npos)) {
      flush(at);
      out += character;
      begin = at + size;
    }
    at += size;
  }
  flush(text.size());
  return out;
}

Value replace_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("replace", arguments, {"old", "new", "count"});
  const std::string text = to_text(value);
  const std::string to = to_text(given.required(1));
  if (to.size() * (text.size() + 1) > static_cast<std::size_t>(kMaxValueWeight)) {
    context.budget().memory(to.size() * (text.size() + 1));  // the most that can come out
  }
  return context.text(replace(text, to_text(given.required(0)), to, given.integer(2, -1)));
}

Value indent_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("indent", arguments, {"width", "first", "blank"});
  std::int64_t width = 4;
  std::string indent;
  if (given[0] != nullptr && given[0]->text() != nullptr) {
    indent = *given[0]->text();
  } else {
    width = given.integer(0, 4);
    indent.assign(static_cast<std::size_t>(std::clamp<std::int64_t>(width, 0, 1000)), ' ');
  }
  const bool blank = given.flag(2, false);
  std::string out = given.flag(1, false) ? indent : "";
  std::size_t index = 0;
  // Jinja adds a line end first, so that a last one counts as a line.
  for (const std::string& line : split_lines(to_text(value) + "\n", false)) {
    if (index++ > 0) {
      out += "\n" + (blank || !line.empty() ? indent : std::string());
    }
    out += line;
    context.budget().output(out.size());
  }
  return context.text(std::move(out));
}

Value escape_filter(Context& context, const Value& value, Arguments& arguments) {
  const BoundArguments given("escape", arguments, {});
  std::string out;
  for (const char c : to_text(value)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return context.text(std::move(out));
}

Value format_filter(Context& context, const Value& value, Arguments& arguments) {
  if (!arguments.named.empty()) {
    throw Fault{"format takes no named arguments"};
  }
  const Value values = context.list(std::move(arguments.positional), List::Kind::kTuple);
  return context.text(format_percent(to_text(value), values));
}

Value wordcount_filter(Context& /*context*/, const Value& value, Arguments& arguments) {
  const BoundArguments given("wordcount", arguments, {});
  return static_cast<std::int64_t>(split_words(to_text(value), -1).size());
}

}  // namespace

Filter find_text_filter(std::string_view name) {
  static const std::unordered_map<std::string_view, Filter> kFilters = {
      {"trim", trim_filter},
      {"upper", change_filter<upper>},
      {"lower", change_filter<lower>},
      {"capitalize", change_filter<capitalize>},
      {"title", change_filter<title_words>},
      {"replace", replace_filter},
      {"indent", indent_filter},
      {"escape", escape_filter},
      {"e", escape_filter},
      {"format", format_filter},
      {"wordcount", wordcount_filter}};
  const auto found = kFilters.find(name);
  return found == kFilters.end() ? nullptr : found->second;
}

}  // namespace finescale::jinja
