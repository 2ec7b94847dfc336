// SPDX-License-Identifier: Apache-2.0
// finescale-worker tool step: times real training steps, for comparison with other programs. Reads
// {"preset", "method": "full"|"lora", "sequences": [[id, ...], ...] or "lengths": [tokens, ...] for
// random ones, "sequences_per_step", "steps", "warmup", "threads", "micro_batch_tokens", "dump":
// path of an HDF5 file for the first weights and gradient}; answers {"tok_s" (median over steps),
// "ms_step", "loss", "gradient_norm", "isa", "memory_bytes"}. AdamW as PyTorch has it: decay 0.01
// everywhere. `finescale-worker --step FILE` does the same on the ranks of an MPI job, spread as
// "mesh" (as in a sweep file; absent: data) says.
#pragma once

#include <string>

#include "comm/group.h"

namespace finescale {

// The same answer on every rank. Collective over the world.
[[nodiscard]] std::string step_tool(const std::string& request, Group& world);

}  // namespace finescale
