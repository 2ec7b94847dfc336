// SPDX-License-Identifier: Apache-2.0
#include "configs/yaml_reader.h"

#include <set>
#include <sstream>
#include <vector>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "configs/flow_text.h"
#include "configs/nearest_name.h"
#include "configs/scalar_field.h"
#include "configs/schema/options.pb.h"
#include "core/error.h"

namespace finescale {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

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

// No value is nested deeper; an alias of itself is nested without end.
constexpr int kMaxNesting = 64;
// Of all values, those that aliases repeat counted each time: a short file can say very much. Far
// above any sweep.
constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
constexpr std::size_t kNodeBytes = 16;

std::string join_path(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

// Message cases of the message's only oneof: what a single word may name (`objective: sft`).
std::vector<std::string> word_cases(const Descriptor& type) {
  std::vector<std::string> names;
  if (type.oneof_decl_count() == 1) {
    for (int i = 0; i < type.oneof_decl(0)->field_count(); ++i) {
      const FieldDescriptor& field = *type.oneof_decl(0)->field(i);
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        names.push_back(field.name());
      }
    }
  }
  return names;
}

class Reader {
 public:
  // Without marks (a value given on its own) `file` stands for the position as it is.
  Reader(std::string file, Positions* positions, bool show_marks,
         Expressions* expressions = nullptr)
      : file_(std::move(file)),
        positions_(positions),
        show_marks_(show_marks),
        expressions_(expressions) {}

  void message(const YAML::Node& node, Message& out, const std::string& path) const {
    const Descriptor& type = *out.GetDescriptor();
    if (node.IsNull()) {
      return check_required(node, out, path);
    }
    if (node.IsMap()) {
      mapping(node, out, path);
      return check_required(node, out, path);
    }
    const std::vector<std::string> words = word_cases(type);
    if (node.IsScalar()) {
      for (const std::string& word : words) {
        if (node.Scalar() == word) {
          const FieldDescriptor* chosen = type.FindFieldByName(word);
          Message* child = out.GetReflection()->MutableMessage(&out, chosen);
          return check_required(node, *child, join_path(path, word));
        }
      }
    }
    const std::string& shorthand = type.options().GetExtension(config::shorthand);
    if (!shorthand.empty()) {
      field(node, out, *type.FindFieldByName(shorthand), path);
      return check_required(node, out, path);
    }
    if (!words.empty() && node.IsScalar()) {
      fail(node, path + " is " + kind_of(node) + ", must be one of " + joined(words) +
                     did_you_mean(node.Scalar(), words));
    }
    fail(node, path + " is " + kind_of(node) + ", must be a mapping",
         "its keys are: " + joined(field_names(type)));
  }

  void field(const YAML::Node& node, Message& out, const FieldDescriptor& field,
             const std::string& path) const {
    visit(node);
    note(node, path);
    if (field.options().HasExtension(config::keyed_by)) {
      return keyed(node, out, field, path);
    }
    if (!field.is_repeated()) {
      return single(node, out, field, path);
    }
    if (node.IsNull()) {
      fail(node, path + " is empty, must be a list");
    }
    if (!node.IsSequence()) {  // one thing is a list of one
      return single(node, out, field, path);
    }
    int index = 0;
    for (const YAML::Node& item : node) {
      const std::string element = path + "[" + std::to_string(index++) + "]";
      visit(item);
      note(item, element);
      single(item, out, field, element);
    }
  }

 private:
  [[noreturn]] void fail(const YAML::Node& node, const std::string& what,
                         const std::string& hint = {}) const {
    throw Error(ErrorKind::kConfig, what, where(node), hint);
  }

  [[nodiscard]] std::string where(const YAML::Node& node) const {
    const YAML::Mark mark = node.Mark();
    if (!show_marks_ || mark.is_null()) {
      return file_;
    }
    return file_ + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
  }

  void visit(const YAML::Node& node) const {
    bytes_ += kNodeBytes + (node.IsScalar() ? node.Scalar().size() : 0);
    if (bytes_ > kMaxBytes) {
      fail(node, "the values are too many: more than " + std::to_string(kMaxBytes >> 20) + " MiB",
           "aliases count with all that they repeat");
    }
  }

  // Canonical flow text of any node, a part of `whole`.
  [[nodiscard]] std::string flow(const YAML::Node& node, const YAML::Node& whole,
                                 int depth = 0) const {
    if (depth > kMaxNesting) {
      fail(whole, "the value is nested too deeply");
    }
    visit(node);
    std::string out;
    if (node.IsSequence()) {
      for (const YAML::Node& item : node) {
        out += (out.empty() ? "" : ", ") + flow(item, whole, depth + 1);
      }
      return "[" + out + "]";
    }
    if (node.IsMap()) {
      for (const auto& item : node) {
        out += (out.empty() ? "" : ", ") + flow(item.first, whole, depth + 1) + ": " +
               flow(item.second, whole, depth + 1);
      }
      return "{" + out + "}";
    }
    return node.IsNull() ? "{}" : flow_scalar(node.Scalar());
  }

  void note(const YAML::Node& node, const std::string& path) const {
    if (positions_ != nullptr) {
      positions_->emplace(path, where(node));
    }
  }

  void mapping(const YAML::Node& node, Message& out, const std::string& path) const {
    const Descriptor& type = *out.GetDescriptor();
    std::set<std::string> seen;
    for (const auto& item : node) {
      if (!item.first.IsScalar()) {
        fail(item.first, "a key is " + kind_of(item.first) + ", must be a word");
      }
      const std::string& key = item.first.Scalar();
      const std::string key_path = join_path(path, key);
      const FieldDescriptor* found = type.FindFieldByName(key);
      if (found == nullptr) {
        const std::vector<std::string> names = field_names(type);
        fail(item.first, "unknown key " + key_path + did_you_mean(key, names),
             names.empty() ? path + " has no keys" : "valid here: " + joined(names));
      }
      if (!seen.insert(key).second) {
        fail(item.first, "key " + key_path + " is given twice");
      }
      const Reflection& r = *out.GetReflection();
      if (const auto* oneof = found->containing_oneof();
          oneof != nullptr && r.HasOneof(out, oneof)) {
        fail(item.first, key_path + " excludes " +
                             join_path(path, r.GetOneofFieldDescriptor(out, oneof)->name()) +
                             ": give one of them");
      }
      field(item.second, out, *found, key_path);
    }
  }

  void check_required(const YAML::Node& node, const Message& out, const std::string& path) const {
    const Descriptor& type = *out.GetDescriptor();
    const Reflection& r = *out.GetReflection();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const bool is_present =
          field.is_repeated() ? r.FieldSize(out, &field) > 0 : r.HasField(out, &field);
      if (field.options().GetExtension(config::required) && !is_present) {
        fail(node, join_path(path, field.name()) + " is missing",
             field.options().GetExtension(config::doc));
      }
    }
  }

  // A YAML mapping whose keys go to one field of repeated messages.
  void keyed(const YAML::Node& node, Message& out, const FieldDescriptor& field,
             const std::string& path) const {
    if (!node.IsMap()) {
      fail(node, path + " is " + kind_of(node) + ", must be a mapping");
    }
    const Descriptor& type = *field.message_type();
    const FieldDescriptor& key_field =
        *type.FindFieldByName(field.options().GetExtension(config::keyed_by));
    std::set<std::string> seen;
    for (const auto& item : node) {
      if (!item.first.IsScalar()) {
        fail(item.first, "a key of " + path + " is " + kind_of(item.first) + ", must be a word");
      }
      const std::string& key = item.first.Scalar();
      const std::string element = join_path(path, key);
      if (!seen.insert(key).second) {
        fail(item.first, "key " + element + " is given twice");
      }
      Message& entry = *out.GetReflection()->AddMessage(&out, &field);
      entry.GetReflection()->SetString(&entry, &key_field, key);
      note(item.first, element);
      if (type.field_count() == 2) {  // the key and its value
        this->field(item.second, entry, *type.field(type.field(0) == &key_field ? 1 : 0), element);
      } else {
        message(item.second, entry, element);
      }
    }
  }

  void single(const YAML::Node& node, Message& out, const FieldDescriptor& field,
              const std::string& path) const {
    const Reflection& r = *out.GetReflection();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Message* child =
          field.is_repeated() ? r.AddMessage(&out, &field) : r.MutableMessage(&out, &field);
      return message(node, *child, path);
    }
    if (field.options().GetExtension(config::raw)) {
      field.is_repeated() ? r.AddString(&out, &field, flow(node, node))
                          : r.SetString(&out, &field, flow(node, node));
      return;
    }
    if (!node.IsScalar()) {
      fail(node, path + " is " + kind_of(node) + ", must be " + type_word(field));
    }
    if (is_expression(node.Scalar(), field)) {
      // A short form is written in the place of the message that holds the field.
      const bool is_field = path == field.name() || path.ends_with("." + field.name());
      expressions_->insert_or_assign(is_field ? path : join_path(path, field.name()),
                                     node.Scalar().substr(1));
      (void)set_scalar("1", out, field);
      return;
    }
    if (const std::string wrong = set_scalar(node.Scalar(), out, field); !wrong.empty()) {
      fail(node, path + " " + wrong, field.options().GetExtension(config::doc));
    }
  }

  [[nodiscard]] bool is_expression(const std::string& text, const FieldDescriptor& field) const {
    const bool is_number = field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 ||
                           field.cpp_type() == FieldDescriptor::CPPTYPE_INT64 ||
                           field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;
    return expressions_ != nullptr && is_number && !field.is_repeated() && text.size() > 1 &&
           text.front() == '$';
  }

  std::string file_;
  Positions* positions_;
  bool show_marks_;
  Expressions* expressions_;
  mutable std::size_t bytes_ = 0;  // of the nodes visited so far
};

// Hears where documents begin, and nothing else.
class DocumentStarts final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { marks.push_back(mark); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& /*mark*/, YAML::anchor_t /*anchor*/) override {}
  void OnAlias(const YAML::Mark& /*mark*/, YAML::anchor_t /*anchor*/) override {}
  void OnScalar(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                const std::string& /*value*/) override {}
  void OnSequenceStart(const YAML::Mark& /*mark*/, const std::string& /*tag*/,
                       YAML::anchor_t /*anchor*/, YAML::EmitterStyle::value /*style*/) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {}
  void OnMapEnd() override {}

  std::vector<YAML::Mark> marks;
};

// Where no node can begin (`, a`), yaml-cpp 0.7 finds empty documents without end, so the documents
// are not read before they are counted: of three, two in one place are that.
void check_is_one_document(const std::string& text, const std::string& file) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  DocumentStarts starts;
  while (starts.marks.size() < 3 && parser.HandleNextDocument(starts)) {
  }
  for (std::size_t i = 1; i < starts.marks.size(); ++i) {
    if (starts.marks[i].pos == starts.marks[i - 1].pos) {
      throw YAML::ParserException(starts.marks[i], "no value begins with this character");
    }
  }
  if (starts.marks.size() > 1) {
    throw Error(ErrorKind::kConfig, "the text holds several YAML documents, must be one", file,
                "take the --- lines away");
  }
}

YAML::Node load(const std::string& text, const std::string& file, bool show_marks) {
  try {
    check_is_one_document(text, file);
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    std::string where = file;
    if (show_marks && !error.mark.is_null()) {
      where +=
          ":" + std::to_string(error.mark.line + 1) + ":" + std::to_string(error.mark.column + 1);
    }
    throw Error(ErrorKind::kConfig, "not valid YAML: " + error.msg, where);
  }
}

}  // namespace

void read_yaml(std::string_view text, const std::string& file, Message& message,
               Positions* positions, Expressions* expressions) {
  const YAML::Node node = load(std::string(text), file, true);
  if (!node.IsMap() && !node.IsNull()) {
    throw Error(ErrorKind::kConfig, "the file is " + kind_of(node) + ", must be a mapping",
                file + ":1:1");
  }
  if (node.IsNull()) {  // an empty text has no positions
    return Reader(file, positions, false).message(node, message, "");
  }
  Reader(file, positions, true, expressions).message(node, message, "");
}

void read_yaml_field(std::string_view text, const std::string& where, const std::string& path,
                     Message& message, const FieldDescriptor& field) {
  message.GetReflection()->ClearField(&message, &field);
  Reader(where, nullptr, false).field(load(std::string(text), where, false), message, field, path);
}

}  // namespace finescale
