// SPDX-License-Identifier: Apache-2.0
// Rates of this machine for the planner, measured in about a third of a second by this process.
#pragma once

#include "sharding/planner/machine.h"

namespace finescale {

// With the threads of a rank. No MPI: links are taken from the rate at which memory is copied.
[[nodiscard]] planner::Machine probe_machine(int threads);

}  // namespace finescale
