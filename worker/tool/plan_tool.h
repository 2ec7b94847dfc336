// SPDX-License-Identifier: Apache-2.0
// finescale-worker tool plan: what stages will cost, for `finescale plan`. Reads {"stages":
// [canonical StageSpec text, ...], "threads": n} on standard input, answers {"stages": [{key,
// tokens, labels, steps, flops, seconds, memory_bytes, checkpoint_bytes}]}. Tokens are exact;
// seconds come from a few real steps of each distinct shape. No MPI.
#pragma once

#include <string>

namespace finescale {

[[nodiscard]] std::string plan_tool(const std::string& request);

}  // namespace finescale
