// SPDX-License-Identifier: Apache-2.0
#include "configs/parse.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "configs/field_path.h"
#include "configs/flow_text.h"
#include "configs/let.h"
#include "configs/presets.h"
#include "configs/rules.h"
#include "configs/schema/options.pb.h"
#include "configs/yaml_reader.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

using google::protobuf::Message;

// A file as it is read: its text's positions stay at hand for errors of later rules.
struct Source {
  std::string file;
  std::string directory;
  Positions positions;

  // Position of the first of these paths that was written, else the file.
  [[nodiscard]] std::string at(const std::string& path, const std::string& or_else = {}) const {
    for (const std::string* name : {&path, &or_else}) {
      if (const auto found = positions.find(*name); found != positions.end()) {
        return found->second;
      }
    }
    return file;
  }

  // Position of the field or of what holds it, else the file.
  [[nodiscard]] std::string around(std::string path) const {
    while (!path.empty() && !positions.contains(path)) {
      const std::size_t cut = path.find_last_of(".[");
      path.resize(cut == std::string::npos ? 0 : cut);
    }
    return at(path);
  }
};

Source source_of(const std::string& file) {
  return {file, std::filesystem::absolute(file).parent_path().string(), {}};
}

std::string read_user_file(const std::string& file) {
  if (path_is_directory(file)) {
    throw Error(ErrorKind::kConfig, "is a directory, must be a YAML file", file);
  }
  try {
    return read_file(file);
  } catch (const Error& error) {
    throw Error(ErrorKind::kConfig, error.message(), file,
                "finescale init writes a sweep file to start from");
  }
}

// What is set otherwise is no longer derived.
void forget_derived(config::Sweep& sweep, const std::string& full_path) {
  auto& derived = *sweep.mutable_derived();
  const auto end = std::remove_if(derived.begin(), derived.end(), [&](const auto& one) {
    return one.path() == full_path || one.path().starts_with(full_path + ".");
  });
  derived.DeleteSubrange(static_cast<int>(end - derived.begin()),
                         static_cast<int>(derived.end() - end));
}

// Later errors about an overridden field name the override, not the line that it replaced.
void apply_overrides(config::Sweep& sweep, const std::vector<Override>& overrides, Source& source) {
  for (const auto& [path, value] : overrides) {
    const std::string where = "--set " + path;
    set_field(sweep, path, value, where);
    const std::string full = find_field(sweep, path, where).full_path;
    for (auto at = source.positions.lower_bound(full);
         at != source.positions.end() && at->first.starts_with(full);) {
      const char next = at->first.size() > full.size() ? at->first[full.size()] : '.';
      at = next == '.' || next == '[' ? source.positions.erase(at) : std::next(at);
    }
    source.positions[full] = where;
    forget_derived(sweep, full);
  }
}

// Axis values as canonical text, so that nothing later depends on where the file lies.
void settle_axis(const config::Sweep& sweep, config::Axis& axis, const Source& source) {
  const std::string name = "axes." + axis.path();
  config::Sweep copy = sweep;
  const FieldRef ref = scalar_or_message_field(copy, axis.path(), source.at(name));
  for (int i = 0; i < axis.values_size(); ++i) {
    const std::string where = source.at(name + "[" + std::to_string(i) + "]", name);
    read_yaml_field(axis.values(i), where, axis.path(), *ref.message, *ref.field);
    resolve_paths(copy, source.directory);
    axis.set_values(i, flow_value(*ref.message, *ref.field));
    check_has_kind(ref, axis.path(), where);
  }
}

void settle_axes(config::Sweep& sweep, const Source& source) {
  const config::Sweep before = sweep;
  for (int i = 0; i < sweep.axes_size(); ++i) {
    settle_axis(before, *sweep.mutable_axes(i), source);
  }
  // The file may leave the preset to its axis.
  config::Base& base = *sweep.mutable_base();
  for (const config::Axis& axis : sweep.axes()) {
    if (axis.path() == "base.preset" && axis.values_size() > 0 && !base.has_preset()) {
      base.set_preset(axis.values(0));
    }
  }
}

// Values of arms as those of axes, so that they can be compared as text.
void settle_choice(const config::Sweep& sweep, const Source& source, const std::string& field,
                   config::AxisChoice& choice) {
  const std::string where = source.at(field + "." + choice.path(), field);
  config::Sweep copy = sweep;
  const FieldRef ref = scalar_or_message_field(copy, choice.path(), where);
  for (std::string& value : *choice.mutable_values()) {
    read_yaml_field(value, where, choice.path(), *ref.message, *ref.field);
    value = flow_value(*ref.message, *ref.field);
  }
}

// Every list of choices of a kind of contrast, whatever it is called.
void settle_choices(const config::Sweep& sweep, const Source& source, const std::string& name,
                    Message& kind) {
  const auto& r = *kind.GetReflection();
  for (int f = 0; f < kind.GetDescriptor()->field_count(); ++f) {
    const auto* list = kind.GetDescriptor()->field(f);
    const bool has_choices = list->message_type() == config::AxisChoice::descriptor();
    for (int i = 0; has_choices && i < r.FieldSize(kind, list); ++i) {
      auto& choice = static_cast<config::AxisChoice&>(*r.MutableRepeatedMessage(&kind, list, i));
      settle_choice(sweep, source, name, choice);
    }
  }
}

void settle_contrasts(config::Sweep& sweep, const Source& source) {
  const config::Sweep before = sweep;
  for (int i = 0; i < sweep.contrasts_size(); ++i) {
    config::Contrast& contrast = *sweep.mutable_contrasts(i);
    const std::string name = "contrasts[" + std::to_string(i) + "]";
    for (config::AxisChoice& choice : *contrast.mutable_at()) {
      settle_choice(before, source, name + ".at", choice);
    }
    if (contrast.kind_case() == config::Contrast::KIND_NOT_SET) {
      continue;  // a rule says so
    }
    const auto& r = *contrast.GetReflection();
    const auto* field =
        r.GetOneofFieldDescriptor(contrast, contrast.GetDescriptor()->oneof_decl(0));
    settle_choices(before, source, name, *r.MutableMessage(&contrast, field));
  }
}

void settle_let(config::Sweep& sweep, const Source& source) {
  try {
    apply_let(sweep, "");
  } catch (const Error& error) {
    if (sweep.axes_size() > 0) {
      return;  // an axis may give what is wanted: the first trial is checked
    }
    throw Error(error.kind(), error.message(), source.around(error.where()), error.hint());
  }
}

config::Sweep finish(config::Sweep sweep, const std::vector<Override>& overrides, Source& source,
                     NamedFiles files = NamedFiles::kChecked) {
  resolve_names(sweep);  // paths of overrides and axes begin with them
  apply_overrides(sweep, overrides, source);
  resolve_names(sweep);
  resolve_paths(sweep, source.directory);
  check_structure(sweep, source.file, source.positions);
  settle_let(sweep, source);
  settle_axes(sweep, source);
  settle_contrasts(sweep, source);
  resolve_preset(*sweep.mutable_base(), source.at("base.preset"));
  resolve_defaults(sweep);
  check_rules(sweep, source.file, source.positions, files);
  return sweep;
}

// A run is a sweep of one trial: the same rules hold for it.
config::Sweep as_sweep(const config::Run& run, const std::string& file) {
  config::Sweep sweep;
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
  if (run.has_seed()) {
    sweep.set_seed(run.seed());
  }
  return sweep;
}

// One entry of a mapping (axes.seed, laws.target.held_out.loss): replaced where it stands, or
// added.
void set_entry(const FieldRef& ref, std::string_view yaml_value, const std::string& where) {
  const std::unique_ptr<Message> scratch(ref.message->New());
  const std::string text = "{" + flow_scalar(ref.key) + ": " + std::string(yaml_value) + "}";
  read_yaml_field(text, where, ref.field->name(), *scratch, *ref.field);
  const auto& r = *ref.message->GetReflection();
  const Message& entry = r.GetRepeatedMessage(*scratch, ref.field, 0);
  const auto* key_field =
      entry.GetDescriptor()->FindFieldByName(ref.field->options().GetExtension(config::keyed_by));
  for (int i = 0; i < r.FieldSize(*ref.message, ref.field); ++i) {
    Message* existing = r.MutableRepeatedMessage(ref.message, ref.field, i);
    if (existing->GetReflection()->GetString(*existing, key_field) == ref.key) {
      return existing->CopyFrom(entry);
    }
  }
  r.AddMessage(ref.message, ref.field)->CopyFrom(entry);
}

}  // namespace

Override parse_override(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(ErrorKind::kConfig, "--set " + text + ": must be PATH=VALUE", {},
                "for example --set train.learning_rate=1e-3");
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void parse_yaml(std::string_view text, const std::string& file, Message& message) {
  read_yaml(text, file, message);
}

void set_field(config::Sweep& sweep, const std::string& path, std::string_view yaml_value,
               const std::string& where) {
  const FieldRef ref = find_field(sweep, path, where);
  if (ref.key.empty()) {
    return read_yaml_field(yaml_value, where, path, *ref.message, *ref.field);
  }
  set_entry(ref, yaml_value, where);
}

config::Sweep load_sweep(const std::string& file, const std::vector<Override>& overrides,
                         NamedFiles files) {
  config::Sweep sweep;
  Source source = source_of(file);
  Expressions expressions;
  read_yaml(read_user_file(file), file, sweep, &source.positions, &expressions);
  for (const auto& [path, expression] : expressions) {
    config::FieldValues& derived = *sweep.add_derived();
    derived.set_path(path);
    derived.set_value(expression);
  }
  return finish(std::move(sweep), overrides, source, files);
}

config::Run load_run(const std::string& file, const std::vector<Override>& overrides) {
  config::Run run;
  Source source = source_of(file);
  read_yaml(read_user_file(file), file, run, &source.positions);
  const config::Sweep written = as_sweep(run, file);
  const config::Sweep sweep = finish(written, overrides, source);
  run.set_name(sweep.name());
  *run.mutable_base() = sweep.base();
  *run.mutable_data() = sweep.data();
  *run.mutable_trial() = sweep.trial();
  // Left out, it follows the number of ranks that mpirun starts.
  const bool gives_mesh =
      written.has_mesh() || written.resources().has_ranks_per_gang() ||
      std::any_of(overrides.begin(), overrides.end(), [](const Override& o) {
        return o.first.starts_with("mesh") || o.first == "resources.ranks_per_gang";
      });
  if (gives_mesh) {
    *run.mutable_mesh() = sweep.mesh();
  }
  *run.mutable_resources() = sweep.resources();
  run.set_output(sweep.output());
  run.set_seed(sweep.seed());
  return run;
}

std::string written_at(const std::string& file, const std::string& path) {
  config::Sweep sweep;
  Source source = source_of(file);
  Expressions expressions;
  read_yaml(read_user_file(file), file, sweep, &source.positions, &expressions);
  return source.around(path);
}

}  // namespace finescale
