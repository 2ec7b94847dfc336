// SPDX-License-Identifier: Apache-2.0
#include "configs/canonical.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_map>
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

void append_quoted(const std::string& text, std::string& out) {
  out += '"';
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
  out += '"';
}

void append_scalar(const Message& message, const FieldDescriptor& field, int index,
                   std::string& out) {
  const Reflection& r = *message.GetReflection();
  const bool list = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      out += r.GetBool(message, &field) ? "true" : "false";
      return;
    case FieldDescriptor::CPPTYPE_INT32:
      out += std::to_string(list ? r.GetRepeatedInt32(message, &field, index)
                                 : r.GetInt32(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_INT64:
      out += std::to_string(list ? r.GetRepeatedInt64(message, &field, index)
                                 : r.GetInt64(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      out += number_text(list ? r.GetRepeatedDouble(message, &field, index)
                              : r.GetDouble(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_ENUM:
      out +=
          (list ? r.GetRepeatedEnum(message, &field, index) : r.GetEnum(message, &field))->name();
      return;
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      append_quoted(list ? r.GetRepeatedStringReference(message, &field, index, &scratch)
                         : r.GetStringReference(message, &field, &scratch),
                    out);
      return;
    }
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

// What a type's text is made by, looked up once: options are dear to ask for.
struct TypeFields {
  struct Field {
    const FieldDescriptor* descriptor;
    bool not_in_key;
  };
  std::vector<Field> by_number;
  std::int64_t revision = 0;
};

const TypeFields& fields_of(const Descriptor& type) {
  thread_local std::unordered_map<const Descriptor*, TypeFields> known;
  const auto [place, is_new] = known.try_emplace(&type);
  TypeFields& fields = place->second;
  if (is_new) {
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor* field = type.field(i);
      fields.by_number.push_back({field, field->options().GetExtension(config::not_in_key)});
    }
    std::sort(fields.by_number.begin(), fields.by_number.end(), [](const auto& a, const auto& b) {
      return a.descriptor->number() < b.descriptor->number();
    });
    fields.revision = type.options().GetExtension(config::revision);
  }
  return fields;
}

void print(const Message& message, Style style, std::size_t indent, std::string& out);

void print_message_field(const Message& child, const FieldDescriptor& field, Style style,
                         std::size_t indent, std::string& out) {
  const std::size_t before = out.size();
  out.append(indent, ' ').append(field.name()).append(" {\n");
  const std::size_t inner = out.size();
  print(child, style, indent + 2, out);
  // In a key an empty message equals an absent one, except as the chosen case of a oneof.
  if (style == Style::kKey && out.size() == inner && field.containing_oneof() == nullptr &&
      !field.is_repeated()) {
    out.resize(before);
    return;
  }
  out.append(indent, ' ').append("}\n");
}

void print_scalar_field(const Message& message, const FieldDescriptor& field, int index,
                        std::size_t indent, std::string& out) {
  out.append(indent, ' ').append(field.name()).append(": ");
  append_scalar(message, field, index, out);
  out += '\n';
}

void print_field(const Message& message, const FieldDescriptor& field, Style style,
                 std::size_t indent, std::string& out) {
  const Reflection& r = *message.GetReflection();
  const bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (field.is_repeated()) {
    for (int i = 0; i < r.FieldSize(message, &field); ++i) {
      if (is_message) {
        print_message_field(r.GetRepeatedMessage(message, &field, i), field, style, indent, out);
      } else {
        print_scalar_field(message, field, i, indent, out);
      }
    }
    return;
  }
  if (is_message) {
    if (r.HasField(message, &field)) {
      print_message_field(r.GetMessage(message, &field), field, style, indent, out);
    }
    return;
  }
  const bool wanted = style == Style::kStored
                          ? r.HasField(message, &field) || field.has_default_value()
                          : r.HasField(message, &field) && !equals_default(message, field);
  if (wanted) {
    print_scalar_field(message, field, -1, indent, out);
  }
}

void print(const Message& message, Style style, std::size_t indent, std::string& out) {
  const TypeFields& fields = fields_of(*message.GetDescriptor());
  if (style == Style::kKey && fields.revision > 0) {
    out.append(indent, ' ').append("revision: ").append(std::to_string(fields.revision)) += '\n';
  }
  for (const auto& [field, not_in_key] : fields.by_number) {
    if (style == Style::kStored || !not_in_key) {
      print_field(message, *field, style, indent, out);
    }
  }
}

std::string printed(const Message& message, Style style) {
  std::string out;
  print(message, style, 0, out);
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
  return printed(message, Style::kStored);
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
  return printed(message, Style::kKey);
}

std::string stage_key(const config::StageSpec& spec) {
  return hash_hex("finescale stage 1\n" + key_text(spec));
}

}  // namespace finescale
