// SPDX-License-Identifier: Apache-2.0
// Logical tensors by patterns of their names: * stands for any characters.
#pragma once

#include <string>
#include <string_view>

namespace finescale {

[[nodiscard]] bool matches_pattern(std::string_view name, std::string_view pattern);

template <class Patterns>
[[nodiscard]] bool matches_any(std::string_view name, const Patterns& patterns) {
  for (const auto& pattern : patterns) {
    if (matches_pattern(name, pattern)) {
      return true;
    }
  }
  return false;
}

}  // namespace finescale
