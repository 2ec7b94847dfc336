// SPDX-License-Identifier: Apache-2.0
// `finescale-worker tool gpu`: what GPUs there are, for doctor.
#pragma once

#include <string>

namespace finescale {

// JSON: {"gpus": [{"index", "name", "capability", "memory_bytes", "why_not"}], "why_none", "hint"};
// empty texts where nothing is wrong.
[[nodiscard]] std::string gpu_tool();

}  // namespace finescale
