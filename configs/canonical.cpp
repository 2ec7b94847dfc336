// SPDX-License-Identifier: Apache-2.0
#include "configs/canonical.h"

#include <algorithm>
#include <vector>

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include "configs/ranges.h"
#include "configs/schema/options.pb.h"
#include "core/error.h"
#include "core/hash.h"

namespace finescale {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

enum class Style { kStored, kKey };

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c >= 32 && c < 127) {
      out += static_cast<char>(c);
    } else {
      out += '\\';
      out += static_cast<char>('0' + (c >> 6));
      out += static_cast<char>('0' + ((c >> 3) & 7));
      out += static_cast<char>('0' + (c & 7));
    }
  }
  return out + "\"";
}

std::string scalar_text(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& r = *message.GetReflection();
  const bool list = index >= 0;
  switch (field.cpp_type()) {
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
      return r.GetEnum(message, &field)->name();
    case FieldDescriptor::CPPTYPE_STRING:
      return quoted(list ? r.GetRepeatedString(message, &field, index)
                         : r.GetString(message, &field));
    default:
      throw Error(ErrorKind::kInternal, "no canonical text for field " + field.full_name());
  }
}

bool equals_default(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  if (!field.has_default_value()) {
    return false;
  }
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return r.GetBool(message, &field) == field.default_value_bool();
    case FieldDescriptor::CPPTYPE_INT32:
      return r.GetInt32(message, &field) == field.default_value_int32();
    case FieldDescriptor::CPPTYPE_INT64:
      return r.GetInt64(message, &field) == field.default_value_int64();
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return r.GetDouble(message, &field) == field.default_value_double();
    case FieldDescriptor::CPPTYPE_ENUM:
      return r.GetEnum(message, &field) == field.default_value_enum();
    case FieldDescriptor::CPPTYPE_STRING:
      return r.GetString(message, &field) == field.default_value_string();
    default:
      return false;
  }
}

std::string print(const Message& message, Style style, const std::string& indent);

std::string print_message_field(const Message& child, const FieldDescriptor& field, Style style,
                                const std::string& indent) {
  const std::string inner = print(child, style, indent + "  ");
  // In a key an empty message equals an absent one, except as the chosen case of a oneof.
  if (style == Style::kKey && inner.empty() && field.containing_oneof() == nullptr &&
      !field.is_repeated()) {
    return "";
  }
  return indent + field.name() + " {\n" + inner + indent + "}\n";
}

std::string print_field(const Message& message, const FieldDescriptor& field, Style style,
                        const std::string& indent) {
  const Reflection& r = *message.GetReflection();
  const bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  std::string out;
  if (field.is_repeated()) {
    for (int i = 0; i < r.FieldSize(message, &field); ++i) {
      out += is_message ? print_message_field(r.GetRepeatedMessage(message, &field, i), field,
                                              style, indent)
                        : indent + field.name() + ": " + scalar_text(message, field, i) + "\n";
    }
    return out;
  }
  if (is_message) {
    return r.HasField(message, &field)
               ? print_message_field(r.GetMessage(message, &field), field, style, indent)
               : "";
  }
  const bool wanted = style == Style::kStored
                          ? r.HasField(message, &field) || field.has_default_value()
                          : r.HasField(message, &field) && !equals_default(message, field);
  return wanted ? indent + field.name() + ": " + scalar_text(message, field, -1) + "\n" : "";
}

std::string print(const Message& message, Style style, const std::string& indent) {
  const Descriptor& type = *message.GetDescriptor();
  std::vector<const FieldDescriptor*> fields;
  fields.reserve(static_cast<std::size_t>(type.field_count()));
  for (int i = 0; i < type.field_count(); ++i) {
    fields.push_back(type.field(i));
  }
  std::sort(fields.begin(), fields.end(),
            [](const auto* a, const auto* b) { return a->number() < b->number(); });
  std::string out;
  if (style == Style::kKey && type.options().GetExtension(config::revision) > 0) {
    out += indent + "revision: " + std::to_string(type.options().GetExtension(config::revision)) +
           "\n";
  }
  for (const FieldDescriptor* field : fields) {
    if (style == Style::kKey && field->options().GetExtension(config::not_in_key)) {
      continue;
    }
    out += print_field(message, *field, style, indent);
  }
  return out;
}

class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (text.empty()) {
      text = std::to_string(line + 1) + ":" + std::to_string(column + 1) + ": " + message;
    }
  }
  std::string text;
};

}  // namespace

std::string canonical_text(const Message& message) {
  return print(message, Style::kStored, "");
}

void parse_canonical(std::string_view text, Message& message) {
  google::protobuf::TextFormat::Parser parser;
  FirstError error;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFromString(std::string(text), &message)) {
    throw Error(ErrorKind::kProtocol,
                "not a canonical " + message.GetDescriptor()->name() + ": " + error.text);
  }
}

std::string key_text(const Message& message) {
  return print(message, Style::kKey, "");
}

std::string stage_key(const config::StageSpec& spec) {
  return hash_hex("finescale stage 1\n" + key_text(spec));
}

}  // namespace finescale
