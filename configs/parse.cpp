// SPDX-License-Identifier: Apache-2.0
#include "configs/parse.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "configs/canonical.h"
#include "configs/ranges.h"
#include "configs/rules.h"
#include "configs/schema/options.pb.h"
#include "configs/yaml_reader.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Walks "a.b.c" from a message; the last field is returned, everything in front of it is made.
std::pair<Message*, const FieldDescriptor*> walk(Message& start, const std::string& path, const std::string& whole,
                                                 const std::string& where) {
  Message* at = &start;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t dot = path.find('.', begin);
    const std::string name = path.substr(begin, dot == std::string::npos ? dot : dot - begin);
    const FieldDescriptor* field = at->GetDescriptor()->FindFieldByName(name);
    if (field == nullptr) {
      const std::vector<std::string> names = field_names(*at->GetDescriptor());
      const std::string near = nearest_name(name, names);
      std::string hint = "valid:";
      for (const std::string& valid : names) {
        hint += " " + valid;
      }
      throw Error(ErrorKind::kConfig, "no field " + whole + (near.empty() ? "" : ", did you mean " + near + "?"), where, hint);
    }
    if (dot == std::string::npos) {
      return {at, field};
    }
    if (field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      throw Error(ErrorKind::kConfig, "no field " + whole + ": " + name + " holds no named fields", where);
    }
    at = at->GetReflection()->MutableMessage(at, field);
    begin = dot + 1;
  }
}

// The message and field that a path names: a stage's name in front, or a field of the sweep.
std::pair<Message*, const FieldDescriptor*> find_field(config::Sweep& sweep, const std::string& path, const std::string& where) {
  const std::string first = path.substr(0, path.find('.'));
  for (config::Stage& stage : *sweep.mutable_trial()->mutable_stages()) {
    const std::string name = stage.has_name() ? stage.name() : stage_kind(stage);
    if (name == first && path.size() > first.size()) {
      const std::string rest = path.substr(first.size() + 1);
      if (stage.has_train()) {
        return walk(*stage.mutable_train(), rest, path, where);
      }
      return walk(*stage.mutable_evaluate(), rest, path, where);
    }
  }
  return walk(sweep, path, path, where);
}

std::string absolute(const std::string& path, const std::string& directory) {
  return std::filesystem::path(path).is_absolute() ? path : (std::filesystem::path(directory) / path).lexically_normal().string();
}

template <class Repeated>
void make_absolute(Repeated* paths, const std::string& directory) {
  for (std::string& path : *paths) {
    path = absolute(path, directory);
  }
}

// Paths in a sweep file are relative to it.
void resolve_paths(config::Base& base, config::Data& data, const std::string& directory) {
  if (base.has_model()) {
    base.set_model(absolute(base.model(), directory));
  }
  if (base.tokenizer().has_path()) {
    base.mutable_tokenizer()->set_path(absolute(base.tokenizer().path(), directory));
  }
  if (base.has_pretrain()) {
    make_absolute(base.mutable_pretrain()->mutable_data()->mutable_path(), directory);
  }
  make_absolute(data.mutable_train()->mutable_path(), directory);
  for (config::EvalSet& set : *data.mutable_eval()) {
    make_absolute(set.mutable_path(), directory);
  }
}

void resolve_preset(config::Base& base, const std::string& file, const std::string& directory, const Positions& positions) {
  if (!base.has_preset()) {
    return;
  }
  std::string path = share_directory() + "/presets/" + base.preset() + ".yaml";
  if (base.preset().find('/') != std::string::npos || base.preset().ends_with(".yaml")) {
    path = absolute(base.preset(), directory);
  }
  if (!std::filesystem::exists(path)) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(share_directory() + "/presets")) {
      names.push_back(entry.path().stem().string());
    }
    std::sort(names.begin(), names.end());
    const std::string near = nearest_name(base.preset(), names);
    std::string hint = "presets:";
    for (const std::string& name : names) {
      hint += " " + name;
    }
    const auto at = positions.find("base.preset");
    throw Error(ErrorKind::kConfig, "no preset " + base.preset() + (near.empty() ? "" : ", did you mean " + near + "?"),
                at == positions.end() ? file : at->second, hint);
  }
  config::ModelConfig preset;
  parse_yaml(read_file(path), path, preset);
  preset.MergeFrom(base.architecture());  // what the sweep writes out wins
  *base.mutable_architecture() = preset;
}

config::Sweep finish(config::Sweep sweep, const std::string& file, const std::vector<Override>& overrides, const Positions& positions) {
  for (const auto& [path, value] : overrides) {
    set_field(sweep, path, value, "--set " + path);
  }
  const std::string directory = std::filesystem::absolute(file).parent_path().string();
  resolve_preset(*sweep.mutable_base(), file, directory, positions);
  resolve_paths(*sweep.mutable_base(), *sweep.mutable_data(), directory);
  resolve_defaults(sweep);
  check_rules(sweep, file, positions);
  return sweep;
}

std::string read_user_file(const std::string& file) {
  try {
    return read_file(file);
  } catch (const Error& error) {
    throw Error(ErrorKind::kConfig, error.message(), file, "finescale init writes a sweep file to start from");
  }
}

// The value of a field as YAML flow text, only what was set: {lora: {rank: 8}}.
std::string value_text(const Message& message, const FieldDescriptor& field, int index = -1);

std::string message_text(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  std::string out;
  for (const FieldDescriptor* field : fields) {
    std::string value;
    if (field->is_repeated()) {
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        value += (i > 0 ? ", " : "") + value_text(message, *field, i);
      }
      value = "[" + value + "]";
    } else {
      value = value_text(message, *field);
    }
    out += (out.empty() ? "" : ", ") + field->name() + ": " + value;
  }
  return "{" + out + "}";
}

std::string value_text(const Message& message, const FieldDescriptor& field, int index) {
  const auto& r = *message.GetReflection();
  const bool list = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return message_text(list ? r.GetRepeatedMessage(message, &field, index) : r.GetMessage(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return r.GetBool(message, &field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(list ? r.GetRepeatedInt32(message, &field, index) : r.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(list ? r.GetRepeatedInt64(message, &field, index) : r.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return number_text(list ? r.GetRepeatedDouble(message, &field, index) : r.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return enum_word(*r.GetEnum(message, &field));
    case FieldDescriptor::CPPTYPE_STRING:
      return list ? r.GetRepeatedString(message, &field, index) : r.GetString(message, &field);
    default:
      return "?";
  }
}

bool is_whole(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 || field.cpp_type() == FieldDescriptor::CPPTYPE_INT64;
}

std::vector<std::string> spread(const std::string& path, const FieldDescriptor& field, double from, double to, int points, bool geometric) {
  if (!(from < to)) {
    throw Error(ErrorKind::kConfig, path + ": from must be below to");
  }
  std::vector<std::string> values;
  for (int i = 0; i < points; ++i) {
    const double t = static_cast<double>(i) / (points - 1);
    double value = geometric ? from * std::pow(to / from, t) : from + (to - from) * t;
    value = i == 0 ? from : i + 1 == points ? to : value;  // the ends are exact
    if (!is_whole(field)) {
      // Seven digits: what a person would write, and the same on every machine's pow().
      value = std::stod([&] { char text[32]; std::snprintf(text, sizeof text, "%.7g", value); return std::string(text); }());
    }
    values.push_back(is_whole(field) ? std::to_string(std::llround(value)) : number_text(value));
  }
  return values;
}

}  // namespace

Override parse_override(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(ErrorKind::kConfig, "--set " + text + ": must be PATH=VALUE", {}, "for example --set train.learning_rate=1e-3");
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void parse_yaml(std::string_view text, const std::string& file, Message& message) { read_yaml(text, file, message); }

void set_field(config::Sweep& sweep, const std::string& path, std::string_view yaml_value, const std::string& where) {
  const auto [message, field] = find_field(sweep, path, where);
  read_yaml_field(yaml_value, where, path, *message, *field);
}

std::vector<std::string> axis_values(const config::Sweep& sweep, const config::Axis& axis) {
  config::Sweep copy = sweep;
  const auto [message, field] = find_field(copy, axis.path(), "");
  if (field->is_repeated()) {
    throw Error(ErrorKind::kConfig, "axes." + axis.path() + ": a list cannot be an axis");
  }
  std::vector<std::string> raw(axis.values().begin(), axis.values().end());
  const std::string path = "axes." + axis.path();
  if (axis.has_geometric()) {
    raw = spread(path, *field, axis.geometric().from(), axis.geometric().to(), axis.geometric().points(), true);
  } else if (axis.has_linear()) {
    raw = spread(path, *field, axis.linear().from(), axis.linear().to(), axis.linear().points(), false);
  }
  std::vector<std::string> values;
  for (const std::string& text : raw) {
    read_yaml_field(text, "", path, *message, *field);
    values.push_back(value_text(*message, *field));
  }
  return values;
}

config::Sweep load_sweep(const std::string& file, const std::vector<Override>& overrides) {
  config::Sweep sweep;
  Positions positions;
  read_yaml(read_user_file(file), file, sweep, &positions);
  return finish(std::move(sweep), file, overrides, positions);
}

config::Run load_run(const std::string& file, const std::vector<Override>& overrides) {
  config::Run run;
  Positions positions;
  read_yaml(read_user_file(file), file, run, &positions);
  config::Sweep sweep;  // the same rules: a run is a sweep of one trial
  sweep.set_name(run.has_name() ? run.name() : std::filesystem::path(file).stem().string());
  *sweep.mutable_base() = run.base();
  *sweep.mutable_data() = run.data();
  *sweep.mutable_trial() = run.trial();
  if (run.has_mesh()) {
    *sweep.mutable_mesh() = run.mesh();
  }
  if (run.has_resources()) {
    *sweep.mutable_resources() = run.resources();
  }
  if (run.has_output()) {
    sweep.set_output(run.output());
  }
  sweep.set_seed(run.seed());
  sweep = finish(std::move(sweep), file, overrides, positions);
  run.set_name(sweep.name());
  *run.mutable_base() = sweep.base();
  *run.mutable_data() = sweep.data();
  *run.mutable_trial() = sweep.trial();
  *run.mutable_resources() = sweep.resources();
  run.set_output(sweep.output());
  run.set_seed(sweep.seed());
  return run;
}

std::string share_directory() {
  if (const char* given = std::getenv("FINESCALE_SHARE"); given != nullptr) {
    return given;
  }
  std::error_code code;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", code);
  for (std::filesystem::path at = program.parent_path(); !code && at.has_relative_path(); at = at.parent_path()) {
    for (const char* name : {"share/finescale", "configs"}) {
      if (std::filesystem::exists(at / name / "presets")) {
        return (at / name).string();
      }
    }
  }
  return std::string(FINESCALE_SOURCE_DIR) + "/configs";
}

}  // namespace finescale
