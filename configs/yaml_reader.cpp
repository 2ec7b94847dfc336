// SPDX-License-Identifier: Apache-2.0
#include "configs/yaml_reader.h"

#include <charconv>
#include <cmath>
#include <set>

#include <yaml-cpp/yaml.h>

#include "configs/ranges.h"
#include "configs/schema/options.pb.h"
#include "core/error.h"

namespace finescale {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : ", ") + word;
  }
  return text;
}

std::string kind_of(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      return "a mapping";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Scalar:
      return "\"" + node.Scalar() + "\"";
    case YAML::NodeType::Null:
    case YAML::NodeType::Undefined:
      break;
  }
  return "empty";
}

// Canonical flow text of any node.
std::string flow(const YAML::Node& node) {
  std::string out;
  if (node.IsSequence()) {
    for (const YAML::Node& item : node) {
      out += (out.empty() ? "" : ", ") + flow(item);
    }
    return "[" + out + "]";
  }
  if (node.IsMap()) {
    for (const auto& item : node) {
      out += (out.empty() ? "" : ", ") + flow(item.first) + ": " + flow(item.second);
    }
    return "{" + out + "}";
  }
  if (node.IsNull()) {
    return "{}";
  }
  const std::string& text = node.Scalar();
  if (!text.empty() && text.find_first_of(",:[]{}\"'#&*!|>%@`\n\t\\") == std::string::npos && text.front() != ' ' &&
      text.back() != ' ' && text.front() != '-' && text.front() != '?') {
    return text;
  }
  if (double number = 0; !text.empty() && std::from_chars(text.data(), text.data() + text.size(), number).ptr == text.data() + text.size()) {
    return text;
  }
  for (const char c : text) {
    out += c == '"' || c == '\\' ? std::string("\\") + c : c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string(1, c);
  }
  return "\"" + out + "\"";
}

class Reader {
 public:
  Reader(std::string file, Positions* positions, bool show_marks)
      : file_(std::move(file)), positions_(positions), show_marks_(show_marks) {}

  void message(const YAML::Node& node, Message& out, const std::string& path) const {
    const Descriptor& type = *out.GetDescriptor();
    if (node.IsNull()) {
      return check_required(node, out, path);
    }
    if (node.IsMap()) {
      mapping(node, out, path);
      return check_required(node, out, path);
    }
    if (node.IsScalar() && one_case(node, out)) {
      return;
    }
    const std::string& shorthand = type.options().GetExtension(config::shorthand);
    if (!shorthand.empty()) {
      field(node, out, *type.FindFieldByName(shorthand), path);
      return check_required(node, out, path);
    }
    fail(node, path + " is " + kind_of(node) + ", must be a mapping", "its keys are: " + join(field_names(type)));
  }

  void field(const YAML::Node& node, Message& out, const FieldDescriptor& field, const std::string& path) const {
    note(node, path);
    const auto& options = field.options();
    if (options.HasExtension(config::keyed_by)) {
      return keyed(node, out, field, path);
    }
    if (!field.is_repeated()) {
      return single(node, out, field, path);
    }
    if (!node.IsSequence()) {
      if (node.IsNull()) {
        fail(node, path + " is empty, must be a list");
      }
      return single(node, out, field, path);
    }
    int index = 0;
    for (const YAML::Node& item : node) {
      const std::string element = path + "[" + std::to_string(index++) + "]";
      note(item, element);
      single(item, out, field, element);
    }
  }

 private:
  [[noreturn]] void fail(const YAML::Node& node, const std::string& what, const std::string& hint = {}) const {
    throw Error(ErrorKind::kConfig, what, where(node), hint);
  }

  [[nodiscard]] std::string where(const YAML::Node& node) const {
    const YAML::Mark mark = node.Mark();
    if (!show_marks_ || mark.is_null()) {
      return file_;
    }
    return file_ + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
  }

  void note(const YAML::Node& node, const std::string& path) const {
    if (positions_ != nullptr) {
      positions_->emplace(path, where(node));
    }
  }

  static std::string join_path(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "." + name;
  }

  // `objective: sft` for `objective: {sft: {}}`: the scalar names a message case of the only oneof.
  static bool one_case(const YAML::Node& node, Message& out) {
    const Descriptor& type = *out.GetDescriptor();
    const FieldDescriptor* field = type.FindFieldByName(node.Scalar());
    if (type.oneof_decl_count() != 1 || field == nullptr || field->containing_oneof() == nullptr ||
        field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      return false;
    }
    out.GetReflection()->MutableMessage(&out, field);
    return true;
  }

  void mapping(const YAML::Node& node, Message& out, const std::string& path) const {
    const Descriptor& type = *out.GetDescriptor();
    std::set<std::string> seen;
    for (const auto& item : node) {
      if (!item.first.IsScalar()) {
        fail(item.first, "a key is " + kind_of(item.first) + ", must be a word");
      }
      const std::string& key = item.first.Scalar();
      const FieldDescriptor* found = type.FindFieldByName(key);
      if (found == nullptr) {
        const std::vector<std::string> names = field_names(type);
        const std::string near = nearest_name(key, names);
        fail(item.first, "unknown key " + join_path(path, key) + (near.empty() ? "" : ", did you mean " + near + "?"),
             "valid here: " + join(names));
      }
      if (!seen.insert(key).second) {
        fail(item.first, "key " + join_path(path, key) + " is given twice");
      }
      if (const auto* oneof = found->containing_oneof(); oneof != nullptr && out.GetReflection()->HasOneof(out, oneof)) {
        fail(item.first, join_path(path, key) + " excludes " +
                             out.GetReflection()->GetOneofFieldDescriptor(out, oneof)->name() + ": give one of them");
      }
      field(item.second, out, *found, join_path(path, key));
    }
  }

  void check_required(const YAML::Node& node, const Message& out, const std::string& path) const {
    const Descriptor& type = *out.GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const bool present = field.is_repeated() ? out.GetReflection()->FieldSize(out, &field) > 0
                                               : out.GetReflection()->HasField(out, &field);
      if (field.options().GetExtension(config::required) && !present) {
        fail(node, join_path(path, field.name()) + " is missing", field.options().GetExtension(config::doc));
      }
    }
  }

  // A YAML map whose keys go to one field of repeated messages.
  void keyed(const YAML::Node& node, Message& out, const FieldDescriptor& field, const std::string& path) const {
    if (!node.IsMap()) {
      fail(node, path + " is " + kind_of(node) + ", must be a mapping");
    }
    const Descriptor& type = *field.message_type();
    const FieldDescriptor& key_field = *type.FindFieldByName(field.options().GetExtension(config::keyed_by));
    std::set<std::string> seen;
    for (const auto& item : node) {
      const std::string key = item.first.Scalar();
      const std::string element = join_path(path, key);
      if (!seen.insert(key).second) {
        fail(item.first, "key " + element + " is given twice");
      }
      Message& entry = *out.GetReflection()->AddMessage(&out, &field);
      entry.GetReflection()->SetString(&entry, &key_field, key);
      note(item.first, element);
      if (type.field_count() == 2) {  // the key and its value
        const FieldDescriptor& value = *type.field(type.field(0) == &key_field ? 1 : 0);
        this->field(item.second, entry, value, element);
      } else {
        message(item.second, entry, element);
      }
    }
  }

  void single(const YAML::Node& node, Message& out, const FieldDescriptor& field, const std::string& path) const {
    const Reflection& reflection = *out.GetReflection();
    const bool list = field.is_repeated();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Message* child = list ? reflection.AddMessage(&out, &field) : reflection.MutableMessage(&out, &field);
      return message(node, *child, path);
    }
    if (field.options().GetExtension(config::raw)) {
      return list ? reflection.AddString(&out, &field, flow(node)) : reflection.SetString(&out, &field, flow(node));
    }
    if (!node.IsScalar()) {
      fail(node, path + " is " + kind_of(node) + ", must be " + type_word(field));
    }
    scalar(node, out, field, path);
  }

  static std::string type_word(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        return "true or false";
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return "a number";
      case FieldDescriptor::CPPTYPE_ENUM:
        return "one of " + join(enum_words(*field.enum_type()));
      case FieldDescriptor::CPPTYPE_STRING:
        return "a string";
      default:
        return "a whole number";
    }
  }

  double number(const YAML::Node& node, const FieldDescriptor& field, const std::string& path) const {
    const std::string& text = node.Scalar();
    double value = 0;
    const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
    const auto result = std::from_chars(begin, text.data() + text.size(), value);
    const bool whole = field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE || value == std::floor(value);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size() || !std::isfinite(value) || !whole ||
        std::abs(value) > 9.0e15) {
      fail(node, path + " is " + kind_of(node) + ", must be " + type_word(field));
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 && std::abs(value) > 2147483647.0) {
      fail(node, path + " is " + text + ", must be below 2147483648");
    }
    if (const std::string must = range_violation(field, value); !must.empty()) {
      fail(node, path + " is " + text + ", must be " + must, field.options().GetExtension(config::doc));
    }
    return value;
  }

  void scalar(const YAML::Node& node, Message& out, const FieldDescriptor& field, const std::string& path) const {
    const Reflection& r = *out.GetReflection();
    const bool list = field.is_repeated();
    const std::string& text = node.Scalar();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        if (text != "true" && text != "false") {
          fail(node, path + " is \"" + text + "\", must be true or false");
        }
        return r.SetBool(&out, &field, text == "true");
      case FieldDescriptor::CPPTYPE_STRING:
        return list ? r.AddString(&out, &field, text) : r.SetString(&out, &field, text);
      case FieldDescriptor::CPPTYPE_ENUM: {
        const auto* value = find_enum(*field.enum_type(), text);
        if (value == nullptr) {
          fail(node, path + " is \"" + text + "\", must be " + type_word(field));
        }
        return r.SetEnum(&out, &field, value);
      }
      case FieldDescriptor::CPPTYPE_INT32: {
        const auto value = static_cast<std::int32_t>(number(node, field, path));
        return list ? r.AddInt32(&out, &field, value) : r.SetInt32(&out, &field, value);
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        const auto value = static_cast<std::int64_t>(number(node, field, path));
        return list ? r.AddInt64(&out, &field, value) : r.SetInt64(&out, &field, value);
      }
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        const double value = number(node, field, path);
        return list ? r.AddDouble(&out, &field, value) : r.SetDouble(&out, &field, value);
      }
      default:
        throw Error(ErrorKind::kInternal, "the schema has a field type that YAML cannot fill: " + field.full_name());
    }
  }

  std::string file_;
  Positions* positions_;
  bool show_marks_;
};

YAML::Node load(std::string_view text, const std::string& file, bool show_marks) {
  try {
    return YAML::Load(std::string(text));
  } catch (const YAML::ParserException& error) {
    const std::string where = show_marks ? file + ":" + std::to_string(error.mark.line + 1) + ":" + std::to_string(error.mark.column + 1) : file;
    throw Error(ErrorKind::kConfig, "not valid YAML: " + error.msg, where);
  }
}

}  // namespace

void read_yaml(std::string_view text, const std::string& file, Message& message, Positions* positions) {
  const YAML::Node node = load(text, file, true);
  if (!node.IsMap() && !node.IsNull()) {
    throw Error(ErrorKind::kConfig, "the file is " + kind_of(node) + ", must be a mapping", file + ":1:1");
  }
  Reader(file, positions, true).message(node, message, "");
}

void read_yaml_field(std::string_view text, const std::string& where, const std::string& path, Message& message,
                     const FieldDescriptor& field) {
  message.GetReflection()->ClearField(&message, &field);
  Reader(where, nullptr, false).field(load(text, where, false), message, field, path);
}

}  // namespace finescale
