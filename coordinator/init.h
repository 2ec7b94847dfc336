// SPDX-License-Identifier: Apache-2.0
// What `finescale init` writes: a commented sweep that runs as it is, and small data for it.
#pragma once

#include <string>

namespace finescale {

[[nodiscard]] std::string init_sweep(int gangs);   // sweep.yaml
// JSONL of a procedural task: words and what a simple cipher makes of them. Deterministic; disjoint parts.
[[nodiscard]] std::string init_data(int first, int count, bool as_text);

}  // namespace finescale
