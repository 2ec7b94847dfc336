// SPDX-License-Identifier: Apache-2.0
#include "configs/field_path.h"

#include <vector>

#include "configs/nearest_name.h"
#include "configs/rules.h"
#include "configs/schema/options.pb.h"
#include "core/error.h"

namespace finescale {

namespace {

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

// Walks "a.b.c" from a message. `front` is what stands in front of it in the path ("train.").
FieldRef walk(Message& start, const std::string& path, std::string front, std::string full,
              const std::string& where, bool may_change_kind) {
  Message* at = &start;
  std::size_t begin = front.size();
  for (;;) {
    const std::size_t dot = path.find('.', begin);
    const std::string name = path.substr(begin, dot == std::string::npos ? dot : dot - begin);
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
      return {at, field, full + "." + path.substr(dot + 1), path.substr(dot + 1)};
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

FieldRef find(config::Sweep& sweep, const std::string& path, const std::string& where,
              bool may_change_kind) {
  const std::string first = path.substr(0, path.find('.'));
  std::vector<std::string> names = field_names(*sweep.GetDescriptor());
  for (int i = 0; i < sweep.trial().stages_size(); ++i) {
    const std::string name = stage_name(sweep.trial().stages(i));
    names.push_back(name);
    if (name != first || path.size() <= first.size()) {
      continue;
    }
    config::Stage& stage = *sweep.mutable_trial()->mutable_stages(i);
    const std::string full = "trial.stages[" + std::to_string(i) + "]." + stage_kind(stage);
    switch (stage.kind_case()) {
      case config::Stage::kTrain:
        return walk(*stage.mutable_train(), path, first + ".", full, where, may_change_kind);
      case config::Stage::kEvaluate:
        return walk(*stage.mutable_evaluate(), path, first + ".", full, where, may_change_kind);
      case config::Stage::kGenerate:
        return walk(*stage.mutable_generate(), path, first + ".", full, where, may_change_kind);
      case config::Stage::kScore:
        return walk(*stage.mutable_score(), path, first + ".", full, where, may_change_kind);
      case config::Stage::kSelect:
        return walk(*stage.mutable_select(), path, first + ".", full, where, may_change_kind);
      case config::Stage::KIND_NOT_SET:
        break;
    }
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
