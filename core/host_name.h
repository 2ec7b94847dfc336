// SPDX-License-Identifier: Apache-2.0
// The name of the machine that this process runs on, as it calls itself.
#pragma once

#include <string>

namespace finescale {

[[nodiscard]] std::string host_name();

}  // namespace finescale
