// SPDX-License-Identifier: Apache-2.0
// What the coordinator asks the worker program without starting a gang (docs/tool_protocol.md).
#pragma once

#include <string>

#include "configs/schema/sweep.pb.h"

namespace finescale {

// finescale-worker tool NAME: request document -> answer document. Throws the tool's own error.
[[nodiscard]] std::string ask_worker_tool(const std::string& name, const std::string& request);

// Throws kData when a line of the sweep's data is no example, or a file has none.
void check_data(const config::Sweep& sweep);

}  // namespace finescale
