// SPDX-License-Identifier: Apache-2.0
#include "configs/reference.h"

#include <algorithm>
#include <deque>
#include <set>
#include <vector>

#include <google/protobuf/descriptor.h>

#include "configs/nearest_name.h"
#include "configs/ranges.h"
#include "configs/schema/options.pb.h"
#include "configs/schema/sweep.pb.h"
#include "core/error.h"

namespace finescale {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

bool is_message(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
}

// Sweep and Run, then what they hold, breadth first, each once.
std::vector<const Descriptor*> messages() {
  std::vector<const Descriptor*> found;
  std::deque<const Descriptor*> todo = {config::Sweep::descriptor(), config::Run::descriptor()};
  std::set<const Descriptor*> seen;
  while (!todo.empty()) {
    const Descriptor* type = todo.front();
    todo.pop_front();
    if (!seen.insert(type).second) {
      continue;
    }
    found.push_back(type);
    for (int i = 0; i < type->field_count(); ++i) {
      if (is_message(*type->field(i))) {
        todo.push_back(type->field(i)->message_type());
      }
    }
  }
  return found;
}

std::string scalar_word(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true | false";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "number";
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::string words;
      for (const std::string& word : enum_words(*field.enum_type())) {
        words += (words.empty() ? "" : " | ") + word;
      }
      return words;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return field.options().GetExtension(config::raw) ? "any value" : "string";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return field.message_type()->name();
    default:
      return "whole number";
  }
}

std::string type_text(const FieldDescriptor& field) {
  const std::string word = scalar_word(field);
  if (field.options().HasExtension(config::keyed_by)) {
    return "mapping of " + field.options().GetExtension(config::keyed_by) + " to " + word;
  }
  return field.is_repeated() ? "list of " + word : word;
}

std::string default_text(const FieldDescriptor& field) {
  if (field.options().GetExtension(config::required)) {
    return "required";
  }
  if (!field.has_default_value()) {
    return "";
  }
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return field.default_value_bool() ? "true" : "false";
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(field.default_value_int32());
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(field.default_value_int64());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return number_text(field.default_value_double());
    case FieldDescriptor::CPPTYPE_ENUM:
      return enum_word(*field.default_value_enum());
    case FieldDescriptor::CPPTYPE_STRING:
      return field.default_value_string();
    default:
      return "";
  }
}

// "one of full, lora" for a message that is a choice.
std::string choice_text(const Descriptor& type) {
  std::string text;
  for (int i = 0; i < type.oneof_decl_count(); ++i) {
    std::vector<std::string> cases;
    cases.reserve(static_cast<std::size_t>(type.oneof_decl(i)->field_count()));
    for (int k = 0; k < type.oneof_decl(i)->field_count(); ++k) {
      cases.push_back(type.oneof_decl(i)->field(k)->name());
    }
    text += "One of " + joined(cases) + ". ";
  }
  const std::string& shorthand = type.options().GetExtension(config::shorthand);
  if (!shorthand.empty()) {
    text += "A value or list given in its place means `" + shorthand + "`. ";
  }
  return text;
}

// For a cell of a table: bars and angle brackets mean themselves.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c == '|' ? "\\|" : c == '<' ? "&lt;" : std::string(1, c);
  }
  return out;
}

// Code spans keep < as it is, but a bar would end the cell.
std::string in_code(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) {
    text.replace(at, 1, "\\|");
  }
  return "`" + text + "`";
}

std::string row(const FieldDescriptor& field) {
  const std::string standard = default_text(field);
  std::string type = escaped(type_text(field));
  if (is_message(field)) {
    std::string anchor = field.message_type()->name();
    std::transform(anchor.begin(), anchor.end(), anchor.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    type.replace(type.find(field.message_type()->name()), field.message_type()->name().size(),
                 "[" + field.message_type()->name() + "](#" + anchor + ")");
  }
  return "| `" + field.name() + "` | " + type + " | " +
         (standard.empty()         ? std::string()
          : standard == "required" ? standard
                                   : in_code(standard)) +
         " | " + escaped(range_text(field)) + " | " + field.options().GetExtension(config::unit) +
         " | " + escaped(field.options().GetExtension(config::doc)) + " |\n";
}

// For people: a line for the field, then what it holds.
std::string describe_field(const std::string& path, const FieldDescriptor& field) {
  const auto& options = field.options();
  std::string out = path + ": " + options.GetExtension(config::doc) + "\n";
  out += "  type     " + type_text(field) + "\n";
  if (const std::string text = default_text(field); !text.empty()) {
    out += "  default  " + text + "\n";
  }
  if (const std::string text = range_text(field); !text.empty()) {
    out += "  range    " + text + "\n";
  }
  if (options.HasExtension(config::unit)) {
    out += "  unit     " + options.GetExtension(config::unit) + "\n";
  }
  return out;
}

std::string list_fields(const Descriptor& type, const std::string& indent) {
  std::size_t width = 0;
  for (int i = 0; i < type.field_count(); ++i) {
    width = std::max(width, type.field(i)->name().size());
  }
  std::string out;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string standard = default_text(field);
    out += indent + field.name() + std::string(width - field.name().size() + 2, ' ') +
           field.options().GetExtension(config::doc) +
           (standard.empty() ? "" : " [" + standard + "]") + "\n";
  }
  return out;
}

std::string describe_message(const Descriptor& type) {
  std::string out = type.name() + ": " + type.options().GetExtension(config::about) + "\n";
  if (const std::string choice = choice_text(type); !choice.empty()) {
    out += "  " + choice.substr(0, choice.size() - 1) + "\n";
  }
  return out + list_fields(type, "  ");
}

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> words;
  std::size_t begin = 0;
  for (std::size_t dot = 0; dot != std::string::npos; begin = dot + 1) {
    dot = path.find('.', begin);
    std::string word = path.substr(begin, dot == std::string::npos ? dot : dot - begin);
    words.push_back(word.substr(0, word.find('[')));  // stages[0] is looked up as stages
  }
  return words;
}

// The field at the end of the path from this message, or nullptr.
const FieldDescriptor* follow(const Descriptor* type, const std::vector<std::string>& words) {
  const FieldDescriptor* field = nullptr;
  for (const std::string& word : words) {
    if (type == nullptr) {
      return nullptr;
    }
    field = type->FindFieldByName(word);
    if (field == nullptr) {
      return nullptr;
    }
    type = is_message(*field) ? field->message_type() : nullptr;
  }
  return field;
}

std::string with_content(const std::string& path, const FieldDescriptor& field) {
  return describe_field(path, field) +
         (is_message(field) ? "\n" + describe_message(*field.message_type()) : std::string());
}

void add_paths(const Descriptor& type, const std::string& prefix, std::vector<std::string>& paths) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    std::string path = prefix + field.name();
    if (is_message(field) && !field.is_repeated()) {
      add_paths(*field.message_type(), path + ".", paths);
    }
    if (!is_message(field) || !field.is_repeated()) {
      paths.push_back(std::move(path));
    }
  }
}

}  // namespace

std::vector<ReferenceType> reference_types() {
  std::vector<ReferenceType> types;
  for (const Descriptor* type : messages()) {
    ReferenceType& entry = types.emplace_back();
    entry.name = type->name();
    entry.about = type->options().GetExtension(config::about);
    entry.choice = choice_text(*type);
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      entry.fields.push_back({field.name(), type_text(field), default_text(field),
                              range_text(field), field.options().GetExtension(config::unit),
                              field.options().GetExtension(config::doc)});
    }
  }
  return types;
}

std::vector<std::string> field_paths() {
  std::vector<std::string> paths;
  add_paths(*config::Sweep::descriptor(), "", paths);
  const Descriptor& stage = *config::Stage::descriptor();  // fields of a stage go by its name
  for (int i = 0; i < stage.oneof_decl(0)->field_count(); ++i) {
    const FieldDescriptor& kind = *stage.oneof_decl(0)->field(i);
    add_paths(*kind.message_type(), kind.name() + ".", paths);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string reference_markdown() {
  std::string out =
      "# Options\n\n"
      "Every key of a sweep file, generated from the schema: `finescale schema --markdown > "
      "docs/options.md`.\n"
      "A file is a [Sweep](#sweep); `finescale-worker --run` takes a [Run](#run). "
      "`finescale schema FIELD` prints one entry.\n\n"
      "Short forms: one thing stands for a list of one; a word stands for a choice with nothing "
      "else in it (`method: full`); a value stands for a message that says so below "
      "(`train: pool.jsonl`). Whole numbers may be written 1e3. Paths of files are relative to "
      "the sweep file.\n";
  for (const Descriptor* type : messages()) {
    out += "\n## " + type->name() + "\n\n";
    std::string about = type->options().GetExtension(config::about);
    out += about + ".";
    const std::string choice = choice_text(*type);
    out += choice.empty() ? "\n" : " " + choice.substr(0, choice.size() - 1) + "\n";
    if (type->field_count() == 0) {
      continue;
    }
    out += "\n| key | type | default | range | unit | meaning |\n|---|---|---|---|---|---|\n";
    for (int i = 0; i < type->field_count(); ++i) {
      out += row(*type->field(i));
    }
  }
  return out;
}

std::string reference_text(const std::string& field) {
  if (field.empty()) {
    return describe_message(*config::Sweep::descriptor()) +
           "\nfinescale schema FIELD prints one of them, with what it holds: base, "
           "train.learning_rate, lora.\n";
  }
  const std::vector<std::string> words = split(field);
  for (const Descriptor* start : {config::Sweep::descriptor(), config::Stage::descriptor()}) {
    if (const FieldDescriptor* found = follow(start, words); found != nullptr) {
      return with_content(field, *found);
    }
  }
  // A name on its own, wherever it stands: rank, lora, wsd.decay.
  std::string out;
  std::vector<std::string> names;
  std::set<const FieldDescriptor*> seen;
  for (const Descriptor* type : messages()) {
    for (int i = 0; i < type->field_count(); ++i) {
      names.push_back(type->field(i)->name());
    }
    if (type->name() == field) {
      return describe_message(*type);
    }
    const FieldDescriptor* found = follow(type, words);
    if (found != nullptr && seen.insert(found).second) {
      out += (out.empty() ? "" : "\n") + with_content(type->name() + "." + field, *found);
    }
  }
  if (out.empty()) {
    throw Error(ErrorKind::kConfig, "no field " + field + did_you_mean(words.back(), names), {},
                "finescale schema lists the fields at the top");
  }
  return out;
}

}  // namespace finescale
