// SPDX-License-Identifier: Apache-2.0
// YAML into messages by reflection. The only reader of yaml-cpp; positions of everything read are kept for later rules.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

namespace finescale {

// Field path -> file:line:column.
using Positions = std::map<std::string, std::string>;

// Reads the whole text into message. prefix is put in front of the paths in errors and positions. Throws kConfig.
void read_yaml(std::string_view text, const std::string& file, google::protobuf::Message& message,
               Positions* positions = nullptr);

// Reads one YAML value into one field (replacing it). where is printed in front of errors, path names the field.
void read_yaml_field(std::string_view text, const std::string& where, const std::string& path,
                     google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field);

// The nearest of the names by edit distance, or "" when none is near.
[[nodiscard]] std::string nearest_name(const std::string& name, const std::vector<std::string>& names);

// Names of a message's fields as written in YAML.
[[nodiscard]] std::vector<std::string> field_names(const google::protobuf::Descriptor& descriptor);

}  // namespace finescale
