// SPDX-License-Identifier: Apache-2.0
// finescale-bench without a subcommand: every kernel at the shapes of the presets, a row each.
#pragma once

namespace finescale::bench {

// Returns the exit code.
int run_kernel_rows(int argc, char** argv);

}  // namespace finescale::bench
