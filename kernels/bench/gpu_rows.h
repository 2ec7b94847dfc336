// SPDX-License-Identifier: Apache-2.0
// finescale-bench gpu: every CUDA kernel on large tensors, against what this GPU copies and
// multiplies, measured in the same process.
#pragma once

namespace finescale::bench {

// Returns the exit code: 3 where no GPU can be used.
int run_gpu_rows(int argc, char** argv);

}  // namespace finescale::bench
