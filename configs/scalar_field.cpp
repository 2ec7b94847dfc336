// SPDX-License-Identifier: Apache-2.0
#include "configs/scalar_field.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "configs/nearest_name.h"
#include "configs/ranges.h"
#include "core/error.h"

namespace finescale {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// The whole text as a finite number: 3, +3, 1e3, .5.
std::optional<double> number_of(const std::string& text) {
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const char* end = text.data() + text.size();
  double value = 0;
  const auto result = std::from_chars(begin, end, value);
  if (result.ec != std::errc() || result.ptr != end || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

struct Whole {
  std::int64_t value = 0;
  std::string wrong;
};

// 12 exactly, and 1e3 or 2.0 because they are whole; a double holds whole numbers up to 2^53.
Whole whole_of(const std::string& text, const FieldDescriptor& field) {
  const bool is_narrow = field.cpp_type() == FieldDescriptor::CPPTYPE_INT32;
  const std::int64_t low = is_narrow ? std::numeric_limits<std::int32_t>::min()
                                     : std::numeric_limits<std::int64_t>::min();
  const std::int64_t high = is_narrow ? std::numeric_limits<std::int32_t>::max()
                                      : std::numeric_limits<std::int64_t>::max();
  Whole out;
  const char* end = text.data() + text.size();
  const auto exact = std::from_chars(text.data(), end, out.value);
  if (exact.ec != std::errc() || exact.ptr != end) {
    const std::optional<double> number = number_of(text);
    if (!number || *number != std::floor(*number)) {
      out.wrong = "is " + (number ? text : "\"" + text + "\"") + ", must be a whole number";
      return out;
    }
    if (std::abs(*number) > 9007199254740992.0) {
      out.wrong = "is " + text + ", must be " + (*number > 0 ? "<= " : ">= ") +
                  std::to_string(*number > 0 ? high : low);
      return out;
    }
    out.value = static_cast<std::int64_t>(*number);
  }
  if (out.value < low || out.value > high) {
    out.wrong = "is " + text + ", must be " + (out.value > high ? "<= " : ">= ") +
                std::to_string(out.value > high ? high : low);
  }
  return out;
}

std::string set_whole(const std::string& text, Message& message, const FieldDescriptor& field) {
  const Whole whole = whole_of(text, field);
  if (!whole.wrong.empty()) {
    return whole.wrong;
  }
  if (const std::string must = range_violation(field, static_cast<double>(whole.value));
      !must.empty()) {
    return "is " + text + ", must be " + must;
  }
  const Reflection& r = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_INT32) {
    const auto value = static_cast<std::int32_t>(whole.value);
    field.is_repeated() ? r.AddInt32(&message, &field, value) : r.SetInt32(&message, &field, value);
  } else {
    field.is_repeated() ? r.AddInt64(&message, &field, whole.value)
                        : r.SetInt64(&message, &field, whole.value);
  }
  return "";
}

std::string set_double(const std::string& text, Message& message, const FieldDescriptor& field) {
  const std::optional<double> number = number_of(text);
  if (!number) {
    return "is \"" + text + "\", must be a number";
  }
  if (const std::string must = range_violation(field, *number); !must.empty()) {
    return "is " + text + ", must be " + must;
  }
  const Reflection& r = *message.GetReflection();
  field.is_repeated() ? r.AddDouble(&message, &field, *number)
                      : r.SetDouble(&message, &field, *number);
  return "";
}

}  // namespace

std::string type_word(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_ENUM:
      return "one of " + joined(enum_words(*field.enum_type()));
    case FieldDescriptor::CPPTYPE_STRING:
      return "a string";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "a mapping";
    default:
      return "a whole number";
  }
}

std::string set_scalar(const std::string& text, Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") {
        return "is \"" + text + "\", must be true or false";
      }
      r.SetBool(&message, &field, text == "true");
      return "";
    case FieldDescriptor::CPPTYPE_STRING:
      field.is_repeated() ? r.AddString(&message, &field, text)
                          : r.SetString(&message, &field, text);
      return "";
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = find_enum(*field.enum_type(), text);
      if (value == nullptr) {
        return "is \"" + text + "\", must be " + type_word(field) +
               did_you_mean(text, enum_words(*field.enum_type()));
      }
      field.is_repeated() ? r.AddEnum(&message, &field, value) : r.SetEnum(&message, &field, value);
      return "";
    }
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return set_whole(text, message, field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return set_double(text, message, field);
    default:
      throw Error(ErrorKind::kInternal,
                  "the schema has a field that no scalar can fill: " + field.full_name());
  }
}

}  // namespace finescale
