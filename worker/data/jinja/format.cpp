// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/format.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "worker/data/jinja/print.h"
#include "worker/data/jinja/text.h"

namespace finescale::jinja {

namespace {

constexpr int kMaxWidth = 1000;
constexpr std::size_t kMaxNumberBytes = 2400;  // precision and width, 309 digits before the point

// A directive behind its %.
struct Directive {
  std::string flags;
  int width = 0;
  int precision = -1;
  char kind = 0;
};

int read_number(std::string_view format, std::size_t& at) {
  int number = 0;
  for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at) {
    number = number * 10 + (format[at] - '0');
    if (number > kMaxWidth) {
      throw Fault{"a width in a format is over " + std::to_string(kMaxWidth)};
    }
  }
  return number;
}

Directive read_directive(std::string_view format, std::size_t& at) {
  Directive d;
  while (at < format.size() &&
         std::string_view("-+ 0#").find(format[at]) != std::string_view::npos) {
    d.flags += format[at++];
  }
  if (d.flags.size() > 5) {
    throw Fault{"a format has too many flags"};
  }
  d.width = read_number(format, at);
  if (at < format.size() && format[at] == '.') {
    ++at;
    d.precision = read_number(format, at);
  }
  d.kind = at < format.size() ? format[at++] : '\0';
  return d;
}

std::string pad(std::string text, const Directive& d) {
  const std::size_t length = num_code_points(text);
  const auto width = static_cast<std::size_t>(d.width);
  const std::string blanks(length < width ? width - length : 0, ' ');
  return d.flags.find('-') == std::string::npos ? blanks + text : text + blanks;
}

template <class Number>
std::string print_number(const Directive& d, const char* kind, Number number) {
  const std::string precision = d.precision < 0 ? std::string() : "." + std::to_string(d.precision);
  const std::string format =
      "%" + d.flags + (d.width > 0 ? std::to_string(d.width) : "") + precision + kind;
  std::array<char, kMaxNumberBytes> buffer{};
  std::snprintf(buffer.data(), buffer.size(), format.c_str(), number);
  return buffer.data();
}

std::string format_one(const Directive& d, const Value& value) {
  double number = 0;
  std::int64_t integer = 0;
  switch (d.kind) {
    case 's':
    case 'r': {
      std::string text = d.kind == 's' ? to_text(value) : repr(value);
      if (d.precision >= 0) {
        text.resize(byte_offset(text, static_cast<std::size_t>(d.precision)));
      }
      return pad(std::move(text), d);
    }
    case 'd':
    case 'i':
      if (value.real() != nullptr) {
        if (!(std::abs(*value.real()) < 9.2e18)) {
          throw Fault{"%d of a number that leaves 64 bits"};
        }
        integer = static_cast<std::int64_t>(*value.real());
      } else if (!as_integer(value, &integer)) {
        throw Fault{"%d needs a number, not '" + type_name(value) + "'"};
      }
      return print_number(d, "lld", static_cast<long long>(integer));
    case 'f':
    case 'e':
    case 'g': {
      if (!as_number(value, &number)) {
        throw Fault{std::string("%") + d.kind + " needs a number, not '" + type_name(value) + "'"};
      }
      const std::array<char, 2> kind = {d.kind, '\0'};
      return print_number(d, kind.data(), number);
    }
    default:
      throw Fault{"a format has a directive other than s, r, d, i, f, e, g, %"};
  }
}

}  // namespace

std::string format_percent(std::string_view format, const Value& values) {
  const bool several = values.list() != nullptr && values.list()->kind == List::Kind::kTuple;
  const std::size_t count = several ? values.list()->items.size() : 1;
  std::size_t used = 0;
  std::string out;
  for (std::size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      out += format[at++];
      continue;
    }
    const Directive d = read_directive(format, ++at);
    if (d.kind == '%') {
      out += '%';
      continue;
    }
    if (used == count) {
      throw Fault{"a format needs more values than are given"};
    }
    out += format_one(d, several ? values.list()->items[used] : values);
    ++used;
    if (static_cast<std::int64_t>(out.size()) > kMaxValueWeight) {
      throw Fault{"a format makes more than " + std::to_string(kMaxValueWeight) + " bytes"};
    }
  }
  if (used < count && values.dict() == nullptr) {
    throw Fault{"a format uses fewer values than are given"};
  }
  return out;
}

}  // namespace finescale::jinja
