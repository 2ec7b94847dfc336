// SPDX-License-Identifier: Apache-2.0
// finescale-worker --run RUN.yaml: the stages of one trial, one after another, without a
// coordinator.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "comm/group.h"

namespace finescale {

struct RunOptions {
  std::string file;
  bool resume = false;
  bool json = false;
  std::string trace;  // file of a timeline; empty: none
  std::vector<std::pair<std::string, std::string>> overrides;
};

// Returns the exit code: 0 done, 1 diverged, 143 stopped. Collective over the world.
[[nodiscard]] int run_command(Group& world, const RunOptions& options);

}  // namespace finescale
