// SPDX-License-Identifier: Apache-2.0
// One scalar of YAML into one field: types, ranges and enum words.
#pragma once

#include <string>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

namespace finescale {

// Sets the field (adds to it when it is repeated). Returns "" when done, else what is wrong as it
// follows the field's name: `is 0, must be >= 1`.
[[nodiscard]] std::string set_scalar(const std::string& text, google::protobuf::Message& message,
                                     const google::protobuf::FieldDescriptor& field);

// What the field takes: "a whole number", "one of last, best".
[[nodiscard]] std::string type_word(const google::protobuf::FieldDescriptor& field);

}  // namespace finescale
