// SPDX-License-Identifier: Apache-2.0
// finescale-bench step: where the time of a training step goes, each kernel beside what this
// machine could do, and the step beside the sum of that.
#pragma once

namespace finescale::bench {

// argv[1] is "step". Returns the exit code.
int run_step_bench(int argc, char** argv);

}  // namespace finescale::bench
