// SPDX-License-Identifier: Apache-2.0
// The Slurm allocation that this process runs in, as Slurm tells it by environment variables.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "coordinator/launchers/launcher.h"

namespace finescale {

struct SlurmAllocation {
  std::string job;
  int nodes = 1;
  int cores_per_node = 1;  // of this node; others may have more
};

// `variable` gives an environment variable or nullptr. Nothing outside an allocation, or when what
// Slurm says makes no sense.
[[nodiscard]] std::optional<SlurmAllocation> slurm_allocation(
    const std::function<const char*(const char*)>& variable);

// The least number of nodes that have a core for every thread of the gang; all of them when even
// they do not.
[[nodiscard]] int nodes_for_gang(const SlurmAllocation& allocation, const GangLaunch& launch);

// Arguments of srun up to the worker's, without the program. Throws kConfig when a gang's first
// rank may land on another node than the coordinator, which serves only its own.
[[nodiscard]] std::vector<std::string> srun_arguments(const SlurmAllocation& allocation,
                                                      const config::Srun& config,
                                                      const GangLaunch& launch);

}  // namespace finescale
