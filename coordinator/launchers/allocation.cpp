// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/allocation.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/error.h"

namespace finescale {

namespace {

// A whole number that a peer wrote; 0 when it is none. Slurm also writes lists, "4(x2)": their
// first number is meant.
int leading_number(const char* text) {
  const std::string_view view = text == nullptr ? "" : text;
  int value = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  return error == std::errc() && value > 0 ? value : 0;
}

}  // namespace

std::optional<SlurmAllocation> slurm_allocation(
    const std::function<const char*(const char*)>& variable) {
  const char* job = variable("SLURM_JOB_ID");
  if (leading_number(job) == 0) {
    return std::nullopt;
  }
  SlurmAllocation allocation;
  allocation.job = job;
  allocation.nodes = std::max(1, leading_number(variable("SLURM_JOB_NUM_NODES")));
  allocation.cores_per_node = std::max({1, leading_number(variable("SLURM_CPUS_ON_NODE")),
                                        leading_number(variable("SLURM_JOB_CPUS_PER_NODE"))});
  return allocation;
}

int nodes_for_gang(const SlurmAllocation& allocation, const GangLaunch& launch) {
  const int ranks_per_node = std::max(1, allocation.cores_per_node / std::max(1, launch.threads));
  const int wanted = (launch.ranks + ranks_per_node - 1) / ranks_per_node;
  return std::clamp(wanted, 1, std::min(allocation.nodes, launch.ranks));
}

std::vector<std::string> srun_arguments(const SlurmAllocation& allocation,
                                        const config::Srun& config, const GangLaunch& launch) {
  if (allocation.nodes > 1 && launch.gangs > 1 && !launch.reaches_all) {
    throw Error(ErrorKind::kConfig,
                "several gangs in an allocation of " + std::to_string(allocation.nodes) +
                    " nodes: those on other nodes cannot reach the coordinator",
                "resources.gangs",
                "give resources.interface, a network interface of every node; or one gang over all "
                "nodes (gangs: 1, more ranks_per_gang), or slurm.nodes: 1");
  }
  // --exact: a step takes only its own cores, so that gangs run side by side. A rank that dies must
  // end its gang: srun would wait for the others for ever.
  std::vector<std::string> arguments = {
      "--jobid=" + allocation.job,
      "--job-name=gang-" + std::to_string(launch.gang),
      "--mpi=" + config.mpi(),
      "--nodes=" + std::to_string(nodes_for_gang(allocation, launch)),
      "--ntasks=" + std::to_string(launch.ranks),
      "--cpus-per-task=" + std::to_string(launch.threads),
      "--exact",
      "--kill-on-bad-exit=1",
      "--input=none"};
  if (allocation.nodes > 1 && !launch.reaches_all) {
    arguments.emplace_back("--relative=0");  // the first rank beside the coordinator
  }
  arguments.insert(arguments.end(), config.extra().begin(), config.extra().end());
  return arguments;
}

}  // namespace finescale
