// SPDX-License-Identifier: Apache-2.0
// The status document of a campaign directory, whoever asks and wherever its coordinator is.
#pragma once

#include <string>

namespace finescale {

// From the live coordinator, else the last published snapshot with the state it must have now.
// Throws kConfig when there is neither.
[[nodiscard]] std::string current_status(const std::string& directory);

}  // namespace finescale
