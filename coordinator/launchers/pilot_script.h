// SPDX-License-Identifier: Apache-2.0
// The batch script of a pilot: a job that is one gang of a campaign. Readable, everything quoted.
// Pure functions.
#pragma once

#include <string>

#include "configs/schema/sweep.pb.h"
#include "coordinator/launchers/launcher.h"

namespace finescale {

struct PilotJob {
  std::string name;
  std::string working_directory;  // absolute
  GangLaunch launch;
};

// Arguments of the program that starts the ranks inside the job, and of the worker.
[[nodiscard]] std::vector<std::string> pilot_arguments(const PilotJob& job,
                                                       const config::Resources& resources);

[[nodiscard]] std::string pilot_script(const PilotJob& job, const config::Resources& resources);

}  // namespace finescale
