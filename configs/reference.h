// SPDX-License-Identifier: Apache-2.0
// The reference generated from the schema: for `finescale schema [FIELD]` and docs/options.md.
#pragma once

#include <string>

namespace finescale {

[[nodiscard]] std::string reference_markdown();  // docs/options.md
[[nodiscard]] std::string reference_text(
    const std::string& field);  // "" = overview; throws kConfig with the nearest name

}  // namespace finescale
