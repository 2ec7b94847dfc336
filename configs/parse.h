// SPDX-License-Identifier: Apache-2.0
// The one parse point: YAML -> message by reflection, overrides and axis values by field path,
// ranges from the options, then cross-field rules. Nothing behind it validates again; nothing in
// front of it is trusted.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <google/protobuf/message.h>

#include "configs/schema/stage.pb.h"
#include "configs/schema/sweep.pb.h"

namespace finescale {

using Override = std::pair<std::string, std::string>;  // field path, YAML text

// "a.b=c" of --set. Throws kConfig.
[[nodiscard]] Override parse_override(const std::string& text);

// Fills message from YAML text. Errors are kConfig at file:line:column: unknown key (nearest valid
// one named), wrong type, out of range, missing required field.
void parse_yaml(std::string_view text, const std::string& file, google::protobuf::Message& message);

// Whole files, presets resolved into base.architecture, relative paths made absolute against the
// file, cross-field rules.
enum class NamedFiles { kChecked, kNeedNotExist };  // data and models
[[nodiscard]] config::Sweep load_sweep(const std::string& file,
                                       const std::vector<Override>& overrides,
                                       NamedFiles files = NamedFiles::kChecked);
[[nodiscard]] config::Run load_run(const std::string& file, const std::vector<Override>& overrides);

// Sets one field: "laws.bootstrap", "train.learning_rate" (a stage name first: looked up in
// trial.stages), "seed".
void set_field(config::Sweep& sweep, const std::string& path, std::string_view yaml_value,
               const std::string& where);

// The values of an axis as canonical flow text, generators expanded; values are validated against
// the field.
[[nodiscard]] std::vector<std::string> axis_values(const config::Sweep& sweep,
                                                   const config::Axis& axis);

// The value of a field as canonical flow text, defaults included; "{}" for a message that is not
// set. Throws kConfig for a field that is not there.
[[nodiscard]] std::string field_text(const config::Sweep& sweep, const std::string& path);

// The values that each group tries for a field of tune: its range, tune.geometric, else tune.trials
// values from a quarter to four times the field's value in this sweep.
[[nodiscard]] std::vector<std::string> tuning_values(const config::Sweep& sweep,
                                                     const std::string& field);
// What each of a group's tuning trials sets: the values of one field in order; of several, each
// value of each once, so that no two fields go together (a Latin hypercube).
[[nodiscard]] std::vector<std::map<std::string, std::string>> tuning_points(
    const config::Sweep& sweep);

// The sweep with these fields set (path -> value), outer fields first. A preset that changes is
// read again. Errors are at `where`.
[[nodiscard]] config::Sweep apply_values(const config::Sweep& sweep,
                                         const std::map<std::string, std::string>& values,
                                         const std::string& where);

// Directory with presets/ and examples/: FINESCALE_SHARE, or beside the program, or the source
// tree.
[[nodiscard]] std::string share_directory();

// file:line:column where the file writes this field or what holds it, else the file. For errors
// that are found later, elsewhere.
[[nodiscard]] std::string written_at(const std::string& file, const std::string& path);

}  // namespace finescale
