// SPDX-License-Identifier: Apache-2.0
// finescale-worker tool step: times real training steps, for comparison with other programs. Reads
// {"preset" or "model": directory or .gguf file, "method": "full"|"lora", "sequences": [[id, ...],
// ...] or "lengths": [tokens, ...] for random ones, "sequences_per_step", "steps", "warmup",
// "threads", "micro_batch_tokens", "learning_rate", "dump": path of an HDF5 file for the first
// weights and gradient, "curve", "device": "cpu"|"cuda", "precision": "f32"|"f64"|"bf16",
// "kernels"}; answers {"tok_s" (median over steps), "ms_step", "ms_total" of
// "steps" after the warm-up, "loss", "gradient_norm", "isa", "first_step_s" (from the process's
// start to the end of the first step), "peak_rss_mib", "memory_bytes"}, with "curve" also "losses"
// and "batches" (numbers of sequences) of every step, with "kernels" the least work and the time of
// each, per step (on a GPU one by one, which takes longer), on a GPU "gpu" and "gpu_peak_mib".
// AdamW as PyTorch has it: decay 0.01
// everywhere. `finescale-worker --step FILE` does the same on the ranks of an MPI job, spread as
// "mesh" (as in a sweep file; absent: data) says.
#pragma once

#include <string>

#include "comm/group.h"
#include "kernels/kernel_profile.h"

namespace finescale {

// The same answer on every rank. profile, when given, holds this rank's kernels of the steps after
// the warm-up. Collective over the world.
[[nodiscard]] std::string step_tool(const std::string& request, Group& world,
                                    KernelProfile* profile = nullptr);

}  // namespace finescale
