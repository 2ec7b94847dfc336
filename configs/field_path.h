// SPDX-License-Identifier: Apache-2.0
// Fields of a sweep by path: "train.learning_rate" (a stage's name first), "laws.bootstrap",
// "seed".
#pragma once

#include <string>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "configs/schema/sweep.pb.h"

namespace finescale {

struct FieldRef {
  google::protobuf::Message* message = nullptr;
  const google::protobuf::FieldDescriptor* field = nullptr;
  std::string full_path;  // from the top of the file: trial.stages[0].train.learning_rate
  std::string key;        // of a mapping such as axes or laws.target; else empty
};

// Messages in front of the field are made. Throws kConfig at `where`: no such field (nearest name),
// or a part of the path belongs to another kind than the one chosen (lora.rank while method is
// full).
[[nodiscard]] FieldRef find_field(config::Sweep& sweep, const std::string& path,
                                  const std::string& where);

// The same for a field that holds one value: what an axis or tuning may vary. Changes the kind
// where the path asks for another, so use it on a copy.
[[nodiscard]] FieldRef scalar_or_message_field(config::Sweep& sweep, const std::string& path,
                                               const std::string& where);

// `method: {}` would leave the choice open: throws kConfig.
void check_has_kind(const FieldRef& ref, const std::string& path, const std::string& where);

// Name of a stage, or its kind when it has none yet.
[[nodiscard]] std::string stage_name(const config::Stage& stage);

}  // namespace finescale
