// SPDX-License-Identifier: Apache-2.0
#include "configs/flow_text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <vector>

#include "configs/ranges.h"
#include "configs/schema/options.pb.h"
#include "core/error.h"

namespace finescale {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool is_plain(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  if (const auto read = std::from_chars(text.data(), end, number);
      !text.empty() && read.ec == std::errc() && read.ptr == end) {
    return true;
  }
  const auto is_safe = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '/' || c == '-' || c == '+' ||
           c == ' ' || c == '(' || c == ')' || c >= 128;
  };
  return !text.empty() &&
         (std::isalnum(static_cast<unsigned char>(text.front())) != 0 || text.front() == '/' ||
          text.front() == '.' || text.front() == '_') &&
         text.back() != ' ' && std::all_of(text.begin(), text.end(), is_safe) && text != "null" &&
         text != "Null" && text != "NULL";
}

std::vector<const FieldDescriptor*> set_fields(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);  // in number order
  return fields;
}

std::string element(const Message& message, const FieldDescriptor& field, int index);

std::string flow_message(const Message& message, const FieldDescriptor* left_out = nullptr) {
  std::string out;
  for (const FieldDescriptor* field : set_fields(message)) {
    if (field != left_out) {
      out += (out.empty() ? "" : ", ") + field->name() + ": " + flow_value(message, *field);
    }
  }
  return "{" + out + "}";
}

// Repeated messages that YAML writes as a mapping from one of their fields.
std::string keyed(const Message& message, const FieldDescriptor& field) {
  const auto& type = *field.message_type();
  const FieldDescriptor* key = type.FindFieldByName(field.options().GetExtension(config::keyed_by));
  const FieldDescriptor* shorthand =
      type.FindFieldByName(type.options().GetExtension(config::shorthand));
  const Reflection& r = *message.GetReflection();
  std::string out;
  for (int i = 0; i < r.FieldSize(message, &field); ++i) {
    const Message& entry = r.GetRepeatedMessage(message, &field, i);
    std::string value = flow_message(entry, key);
    if (type.field_count() == 2) {  // the key and its value
      value = flow_value(entry, *type.field(type.field(0) == key ? 1 : 0));
    } else if (shorthand != nullptr && entry.GetReflection()->FieldSize(entry, shorthand) > 0) {
      value = flow_value(entry, *shorthand);
    }
    out += (out.empty() ? "" : ", ") +
           flow_scalar(
               r.GetRepeatedMessage(message, &field, i).GetReflection()->GetString(entry, key)) +
           ": " + value;
  }
  return "{" + out + "}";
}

// index < 0: a singular field.
std::string element(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& r = *message.GetReflection();
  const bool list = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return flow_message(list ? r.GetRepeatedMessage(message, &field, index)
                               : r.GetMessage(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return r.GetBool(message, &field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(list ? r.GetRepeatedInt32(message, &field, index)
                                 : r.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(list ? r.GetRepeatedInt64(message, &field, index)
                                 : r.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return number_text(list ? r.GetRepeatedDouble(message, &field, index)
                              : r.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return enum_word(
          *(list ? r.GetRepeatedEnum(message, &field, index) : r.GetEnum(message, &field)));
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text =
          list ? r.GetRepeatedString(message, &field, index) : r.GetString(message, &field);
      return field.options().GetExtension(config::raw) ? text : flow_scalar(text);
    }
    default:
      throw Error(ErrorKind::kInternal, "no YAML text for field " + field.full_name());
  }
}

}  // namespace

std::string flow_scalar(std::string_view text) {
  if (is_plain(text)) {
    return std::string(text);
  }
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', static_cast<char>(c)};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 32 || c == 127) {
      out += {'\\', 'x', kHex[c >> 4], kHex[c & 15]};
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + "\"";
}

std::string flow_value(const Message& message, const FieldDescriptor& field) {
  if (!field.is_repeated()) {
    return element(message, field, -1);
  }
  if (field.options().HasExtension(config::keyed_by)) {
    return keyed(message, field);
  }
  std::string out;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    out += (i > 0 ? ", " : "") + element(message, field, i);
  }
  return "[" + out + "]";
}

std::string yaml_text(const Message& message) {
  std::string out;
  for (const FieldDescriptor* field : set_fields(message)) {
    out += field->name() + ": " + flow_value(message, *field) + "\n";
  }
  return out;
}

}  // namespace finescale
