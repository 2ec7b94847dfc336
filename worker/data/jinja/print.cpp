// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/print.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "worker/data/jinja/text.h"

namespace finescale::jinja {

namespace {

// Shortest digits that read back equal, laid out as Python does: an exponent below 1e-4 and from
// 1e16 on.
std::string real_text(double value, bool is_json) {
  if (std::isnan(value)) {
    return is_json ? "NaN" : "nan";
  }
  if (std::isinf(value)) {
    const std::string word = is_json ? "Infinity" : "inf";
    return value < 0 ? "-" + word : word;
  }
  std::array<char, 40> buffer{};
  char* const end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                  std::chars_format::scientific)
                        .ptr;
  const std::string_view made(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const std::size_t e = made.find('e');
  std::string digits;
  for (const char c : made.substr(0, e)) {
    if (c >= '0' && c <= '9') {
      digits += c;
    }
  }
  const int exponent = std::atoi(std::string(made.substr(e + 1)).c_str());
  std::string out = made.front() == '-' ? "-" : "";
  const auto count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1) + (count > 1 ? "." + digits.substr(1) : "");
    std::array<char, 16> tail{};
    std::snprintf(tail.data(), tail.size(), "e%c%02d", exponent < 0 ? '-' : '+',
                  std::abs(exponent));
    return out + tail.data();
  }
  if (exponent < 0) {
    return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  }
  if (count <= exponent + 1) {
    return out + digits + std::string(static_cast<std::size_t>(exponent + 1 - count), '0') + ".0";
  }
  const auto point = static_cast<std::size_t>(exponent) + 1;
  return out + digits.substr(0, point) + "." + digits.substr(point);
}

std::string list_text(const List& list) {
  if (list.kind == List::Kind::kGenerator) {
    return "<generator object>";
  }
  const bool is_tuple = list.kind == List::Kind::kTuple;
  std::string out(1, is_tuple ? '(' : '[');
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    out += (i > 0 ? ", " : "") + repr(list.items[i]);
  }
  out += is_tuple && list.items.size() == 1 ? ",)" : is_tuple ? ")" : "]";
  return list.kind == List::Kind::kView ? "dict_view(" + out + ")" : out;
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {
    item_separator_ = style.item_separator.value_or(style.indent ? "," : ", ");
    key_separator_ = style.key_separator.value_or(": ");
  }

  void write(const Value& value, int level) {
    budget_.steps(1);
    if (value.is_none()) {
      out += "null";
    } else if (const bool* flag = value.boolean()) {
      out += *flag ? "true" : "false";
    } else if (const std::int64_t* integer = value.integer()) {
      out += std::to_string(*integer);
    } else if (const double* real = value.real()) {
      out += real_text(*real, true);
    } else if (const std::string* text = value.text()) {
      write_string(*text);
    } else if (value.dict() != nullptr) {
      write_dict(*value.dict(), level);
    } else if (value.list() != nullptr && (value.list()->kind == List::Kind::kList ||
                                           value.list()->kind == List::Kind::kTuple)) {
      write_list(*value.list(), level);
    } else {
      throw Fault{"a value of type '" + type_name(value) + "' cannot be written as JSON"};
    }
    budget_.output(out.size());
  }

  std::string out;

 private:
  void write_list(const List& list, int level) {
    out += '[';
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      out += i > 0 ? item_separator_ : "";
      new_line(level + 1);
      write(list.items[i], level + 1);
    }
    if (!list.items.empty()) {
      new_line(level);
    }
    out += ']';
  }

  void write_dict(const Dict& dict, int level) {
    std::vector<const std::pair<Value, Value>*> order;
    for (const auto& entry : dict.entries) {
      order.push_back(&entry);
    }
    if (style_.sort_keys) {
      std::stable_sort(order.begin(), order.end(),
                       [](const auto* a, const auto* b) { return is_less(a->first, b->first); });
    }
    out += '{';
    for (std::size_t i = 0; i < order.size(); ++i) {
      out += i > 0 ? item_separator_ : "";
      new_line(level + 1);
      write_key(order[i]->first);
      out += key_separator_;
      write(order[i]->second, level + 1);
    }
    if (!order.empty()) {
      new_line(level);
    }
    out += '}';
  }

  void write_key(const Value& key) {
    if (key.text() != nullptr) {
      write_string(*key.text());
      return;
    }
    if (key.list() != nullptr || key.dict() != nullptr || key.undefined() != nullptr) {
      throw Fault{"a key of type '" + type_name(key) + "' cannot be written as JSON"};
    }
    out += '"';
    write(key, 0);
    out += '"';
  }

  void new_line(int level) {
    if (style_.indent) {
      out += '\n';
      for (int i = 0; i < level; ++i) {
        out += *style_.indent;
      }
    }
  }

  void write_escape(unsigned unit) {
    std::array<char, 8> escape{};
    std::snprintf(escape.data(), escape.size(), "\\u%04x", unit & 0xFFFFU);
    out += escape.data();
  }

  void write_string(std::string_view text) {
    out += '"';
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = code_point_size(text, at);
      const auto c = static_cast<unsigned char>(text[at]);
      const std::string_view plain = "\"\\\b\f\n\r\t";
      if (const std::size_t kind = plain.find(static_cast<char>(c)); kind != plain.npos) {
        out += '\\';
        out += "\"\\bfnrt"[kind];
      } else if (c < 0x20) {
        write_escape(c);
      } else if (size > 1 && style_.ensure_ascii) {
        unsigned code = c & (0xFFU >> (size + 1));
        for (std::size_t i = 1; i < size; ++i) {
          code = (code << 6U) | (static_cast<unsigned char>(text[at + i]) & 0x3FU);
        }
        if (code > 0xFFFF) {  // a pair of surrogates
          write_escape(0xD800U + ((code - 0x10000U) >> 10U));
          code = 0xDC00U + ((code - 0x10000U) & 0x3FFU);
        }
        write_escape(code);
      } else {
        out += text.substr(at, size);
      }
      at += size;
    }
    out += '"';
  }

  const JsonStyle& style_;
  Budget& budget_;
  std::string item_separator_;
  std::string key_separator_;
};

}  // namespace

std::string to_text(const Value& value) {
  if (value.text() != nullptr) {
    return *value.text();
  }
  return value.undefined() != nullptr ? std::string() : repr(value);
}

std::string repr(const Value& value) {
  if (value.is_none()) {
    return "None";
  }
  if (const bool* flag = value.boolean()) {
    return *flag ? "True" : "False";
  }
  if (const std::int64_t* integer = value.integer()) {
    return std::to_string(*integer);
  }
  if (const double* real = value.real()) {
    return real_text(*real, false);
  }
  if (const std::string* text = value.text()) {
    return quoted(*text);
  }
  if (const List* list = value.list()) {
    return list_text(*list);
  }
  if (const Dict* dict = value.dict()) {
    std::string out = "{";
    for (std::size_t i = 0; i < dict->entries.size(); ++i) {
      out +=
          (i > 0 ? ", " : "") + repr(dict->entries[i].first) + ": " + repr(dict->entries[i].second);
    }
    return out + "}";
  }
  return value.undefined() != nullptr ? "Undefined" : "<" + type_name(value) + ">";
}

std::string to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  writer.write(value, 0);
  return std::move(writer.out);
}

}  // namespace finescale::jinja
