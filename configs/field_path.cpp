// SPDX-License-Identifier: Apache-2.0
#include "configs/field_path.h"

#include <charconv>
#include <vector>

#include "configs/nearest_name.h"
#include "configs/rules.h"
#include "configs/schema/options.pb.h"
#include "core/error.h"

namespace finescale {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

[[noreturn]] void no_field(const std::string& path, const std::string& front,
                           const std::string& name, const std::vector<std::string>& names,
                           const std::string& where) {
  const std::string near = nearest_name(name, names);
  throw Error(ErrorKind::kConfig,
              "no field " + path + (near.empty() ? "" : ", did you mean " + front + near + "?"),
              where, "valid: " + joined(names));
}

// `lora.rank` while the method is full would silently change the method.
void check_case(const Message& message, const FieldDescriptor& field, const std::string& path,
                const std::string& front, const std::string& where) {
  const auto* oneof = field.containing_oneof();
  if (oneof == nullptr || !message.GetReflection()->HasOneof(message, oneof)) {
    return;
  }
  const std::string& chosen =
      message.GetReflection()->GetOneofFieldDescriptor(message, oneof)->name();
  if (chosen != field.name()) {
    throw Error(ErrorKind::kConfig,
                path + " cannot be set: " +
                    (front.empty() ? "" : front.substr(0, front.size() - 1)) + " is " + chosen,
                where, "choose " + front + field.name() + " first");
  }
}

// The entry of a mapping whose key the path goes on with, if it leads into one:
// data.sets.pool.task.
struct Entry {
  Message* message = nullptr;
  std::string key;
  const FieldDescriptor* value = nullptr;  // where the path ends with it: let.budget
};
Entry entered(Message& holder, const FieldDescriptor& field, const std::string& rest) {
  const Reflection& r = *holder.GetReflection();
  const Descriptor& type = *field.message_type();
  const FieldDescriptor* key = type.FindFieldByName(field.options().GetExtension(config::keyed_by));
  for (int i = 0; i < r.FieldSize(holder, &field); ++i) {
    Message* entry = r.MutableRepeatedMessage(&holder, &field, i);
    const std::string name = entry->GetReflection()->GetString(*entry, key);
    const FieldDescriptor* value = type.field(type.field(0) == key ? 1 : 0);
    if (rest == name && type.field_count() == 2 && !value->is_repeated() &&
        value->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      return {entry, name, value};
    }
    if (!rest.starts_with(name + ".")) {
      continue;
    }
    if (type.field_count() == 2 && value->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return {entry->GetReflection()->MutableMessage(entry, value), name, nullptr};
    }
    return type.field_count() == 2 ? Entry() : Entry{entry, name, nullptr};
  }
  return {};
}

// name[i] of a list of messages: the element, and what stands in front of [.
Message* element(Message& holder, const std::string& name, std::string* field_name) {
  const std::size_t bracket = name.find('[');
  if (bracket == std::string::npos || !name.ends_with("]")) {
    return nullptr;
  }
  *field_name = name.substr(0, bracket);
  const FieldDescriptor* field = holder.GetDescriptor()->FindFieldByName(*field_name);
  int index = -1;
  std::from_chars(name.data() + bracket + 1, name.data() + name.size() - 1, index);
  const bool is_list = field != nullptr && field->is_repeated() &&
                       field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  const Reflection& r = *holder.GetReflection();
  return is_list && index >= 0 && index < r.FieldSize(holder, field)
             ? r.MutableRepeatedMessage(&holder, field, index)
             : nullptr;
}

// Walks "a.b.c" from a message. `front` is what stands in front of it in the path ("train.").
FieldRef walk(Message& start, const std::string& path, std::string front, std::string full,
              const std::string& where, bool may_change_kind) {
  Message* at = &start;
  std::size_t begin = front.size();
  for (;;) {
    const std::size_t dot = path.find('.', begin);
    const std::string name = path.substr(begin, dot == std::string::npos ? dot : dot - begin);
    std::string list;
    if (Message* inside = element(*at, name, &list);
        inside != nullptr && dot != std::string::npos) {
      full += (full.empty() ? "" : ".") + name;
      front += name + ".";
      at = inside;
      begin = dot + 1;
      continue;
    }
    const FieldDescriptor* field = at->GetDescriptor()->FindFieldByName(name);
    if (field == nullptr) {
      no_field(path, front, name, field_names(*at->GetDescriptor()), where);
    }
    full += (full.empty() ? "" : ".") + name;
    if (dot == std::string::npos) {
      return {at, field, full, ""};
    }
    front += name + ".";
    if (field->options().HasExtension(config::keyed_by)) {
      const std::string rest = path.substr(dot + 1);
      const Entry entry = entered(*at, *field, rest);
      if (entry.message == nullptr) {
        return {at, field, full + "." + rest, rest};
      }
      if (entry.value != nullptr) {
        return {entry.message, entry.value, full + "." + rest, ""};
      }
      front += entry.key + ".";
      full += "." + entry.key;
      at = entry.message;
      begin = dot + 1 + entry.key.size() + 1;
      continue;
    }
    if (field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      throw Error(
          ErrorKind::kConfig,
          "no field " + path + ": " + front.substr(0, front.size() - 1) + " has no named fields",
          where);
    }
    if (!may_change_kind) {
      check_case(*at, *field, path, front.substr(0, front.size() - name.size() - 1), where);
    }
    at = at->GetReflection()->MutableMessage(at, field);
    begin = dot + 1;
  }
}

using Stages = google::protobuf::RepeatedPtrField<config::Stage>;

// The kind of a stage as a message; null: it has none.
Message* content(config::Stage& stage) {
  const Reflection& r = *stage.GetReflection();
  const FieldDescriptor* kind =
      r.GetOneofFieldDescriptor(stage, stage.GetDescriptor()->oneof_decl(0));
  return kind == nullptr ? nullptr : r.MutableMessage(&stage, kind);
}

struct NamedStage {
  config::Stage* stage = nullptr;
  std::string path;  // trial.stages[1].rounds.stages[0]
};
NamedStage find_stage(Stages& stages, const std::string& list, const std::string& name,
                      std::vector<std::string>& names) {
  NamedStage found;
  for (int i = 0; i < stages.size(); ++i) {
    config::Stage& stage = *stages.Mutable(i);
    const std::string path = list + "[" + std::to_string(i) + "]";
    names.push_back(stage_name(stage));
    if (names.back() == name && found.stage == nullptr) {
      found = {&stage, path};
    }
    if (stage.has_rounds()) {
      const NamedStage inside = find_stage(*stage.mutable_rounds()->mutable_stages(),
                                           path + ".rounds.stages", name, names);
      found = found.stage == nullptr ? inside : found;
    }
  }
  return found;
}

FieldRef find(config::Sweep& sweep, const std::string& path, const std::string& where,
              bool may_change_kind) {
  const std::string first = path.substr(0, path.find('.'));
  std::vector<std::string> names = field_names(*sweep.GetDescriptor());
  const NamedStage named =
      find_stage(*sweep.mutable_trial()->mutable_stages(), "trial.stages", first, names);
  Message* inside =
      named.stage != nullptr && path.size() > first.size() ? content(*named.stage) : nullptr;
  if (inside != nullptr) {
    return walk(*inside, path, first + ".", named.path + "." + stage_kind(*named.stage), where,
                may_change_kind);
  }
  if (sweep.GetDescriptor()->FindFieldByName(first) == nullptr) {
    no_field(path, "", first, names, where);
  }
  return walk(sweep, path, "", "", where, may_change_kind);
}

}  // namespace

std::string stage_name(const config::Stage& stage) {
  return stage.has_name() ? stage.name() : stage_kind(stage);
}

FieldRef find_field(config::Sweep& sweep, const std::string& path, const std::string& where) {
  return find(sweep, path, where, false);
}

FieldRef scalar_or_message_field(config::Sweep& sweep, const std::string& path,
                                 const std::string& where) {
  FieldRef ref = find(sweep, path, where, true);
  if (ref.field->is_repeated()) {
    throw Error(ErrorKind::kConfig, path + " is a list, which cannot be varied", where);
  }
  return ref;
}

void check_has_kind(const FieldRef& ref, const std::string& path, const std::string& where) {
  if (ref.field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    return;
  }
  const Message& value = ref.message->GetReflection()->GetMessage(*ref.message, ref.field);
  const auto& type = *value.GetDescriptor();
  if (type.oneof_decl_count() == 1 && type.field_count() == type.oneof_decl(0)->field_count() &&
      !value.GetReflection()->HasOneof(value, type.oneof_decl(0))) {
    throw Error(ErrorKind::kConfig, path + " is empty, must be one of its kinds", where);
  }
}

}  // namespace finescale
