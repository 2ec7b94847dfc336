// SPDX-License-Identifier: Apache-2.0
// What `run` does, for the commands that run a sweep among other things.
#pragma once

#include <string>
#include <vector>

namespace finescale {

struct RunArguments {
  std::string file;
  std::vector<std::string> settings;
  bool extend = false;
  bool wait = false;
};

// Coordinates until the sweep is done, and writes its report. The exit code.
[[nodiscard]] int run_sweep(const RunArguments& arguments);

}  // namespace finescale
