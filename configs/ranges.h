// SPDX-License-Identifier: Apache-2.0
// Ranges and enum spellings that the schema's options declare.
#pragma once

#include <string>
#include <vector>

#include <google/protobuf/descriptor.h>

namespace finescale {

// Empty when the value is allowed, else what it must be: ">= 1", "> 0 and <= 10".
[[nodiscard]] std::string range_violation(const google::protobuf::FieldDescriptor& field,
                                          double value);
[[nodiscard]] std::string range_text(
    const google::protobuf::FieldDescriptor& field);  // "" when unbounded

// ON_OVERLONG_DROP <-> drop.
[[nodiscard]] std::string enum_word(const google::protobuf::EnumValueDescriptor& value);
[[nodiscard]] const google::protobuf::EnumValueDescriptor* find_enum(
    const google::protobuf::EnumDescriptor& type, const std::string& word);
[[nodiscard]] std::vector<std::string> enum_words(const google::protobuf::EnumDescriptor& type);

// Shortest text that reads back to the same double: 0.003, 1e-8, 100.
[[nodiscard]] std::string number_text(double value);

}  // namespace finescale
