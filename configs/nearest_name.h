// SPDX-License-Identifier: Apache-2.0
// What a person may have meant: the nearest of some names by edit distance.
#pragma once

#include <string>
#include <vector>

#include <google/protobuf/descriptor.h>

namespace finescale {

// "" when none is near: at most half of the letters (at least two) may differ.
[[nodiscard]] std::string nearest_name(const std::string& name,
                                       const std::vector<std::string>& names);
// ", did you mean rank?" or "".
[[nodiscard]] std::string did_you_mean(const std::string& name,
                                       const std::vector<std::string>& names);
// "a, b, c"
[[nodiscard]] std::string joined(const std::vector<std::string>& names);

// Names of a message's fields as written in YAML, in the order of the schema.
[[nodiscard]] std::vector<std::string> field_names(const google::protobuf::Descriptor& descriptor);

}  // namespace finescale
