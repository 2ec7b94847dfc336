// SPDX-License-Identifier: Apache-2.0
// YAML into messages by reflection. The only reader of yaml-cpp; the position of everything read is
// kept for later rules.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

namespace finescale {

// Field path -> file:line:column.
using Positions = std::map<std::string, std::string>;

// Field path -> expression.
using Expressions = std::map<std::string, std::string>;

// Reads the whole text into message. Where expressions are taken, a field of a number may be
// written $name or $(expression): it gets 1, and the expression goes there. Throws kConfig.
void read_yaml(std::string_view text, const std::string& file, google::protobuf::Message& message,
               Positions* positions = nullptr, Expressions* expressions = nullptr);

// Reads one YAML value into one field, replacing it. `where` stands in front of errors, `path`
// names the field in them. Throws kConfig.
void read_yaml_field(std::string_view text, const std::string& where, const std::string& path,
                     google::protobuf::Message& message,
                     const google::protobuf::FieldDescriptor& field);

}  // namespace finescale
