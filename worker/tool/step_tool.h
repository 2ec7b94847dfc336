// SPDX-License-Identifier: Apache-2.0
// finescale-worker tool step: times real training steps on random tokens, for comparison with other
// programs. Reads
// {"preset", "method": "full"|"lora", "lengths": [tokens of each sequence, ...] ,
// "sequences_per_step", "steps", "warmup", "threads", "micro_batch_tokens"}; answers {"tok_s"
// (median over steps), "ms_step", "loss", "gradient_norm", "isa"}. No MPI.
#pragma once

#include <string>

namespace finescale {

[[nodiscard]] std::string step_tool(const std::string& request);

}  // namespace finescale
