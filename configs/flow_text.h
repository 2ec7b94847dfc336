// SPDX-License-Identifier: Apache-2.0
// YAML flow text of messages and fields: axis values, and whole files that read back.
#pragma once

#include <string>
#include <string_view>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

namespace finescale {

// A scalar as YAML reads it back inside [] and {}: quoted when it must be.
[[nodiscard]] std::string flow_scalar(std::string_view text);

// The value of a field, only what is set in it: {lora: {rank: 8}}. Fields in number order.
[[nodiscard]] std::string flow_value(const google::protobuf::Message& message,
                                     const google::protobuf::FieldDescriptor& field);

// A whole file that parse_yaml reads back to an equal message, one line per top-level field.
[[nodiscard]] std::string yaml_text(const google::protobuf::Message& message);

}  // namespace finescale
