// SPDX-License-Identifier: Apache-2.0
// A resident gang: rank 0 asks the coordinator for stages, all ranks execute them. Lives on when
// the coordinator dies, for the orphan timeout, and is adopted by the next one with its lease.
#pragma once

#include <string>

#include "comm/group.h"

namespace finescale {

struct GangOptions {
  std::string campaign;
  std::int64_t gang = 0;
  int threads = 1;
  std::string device = "auto";
  double orphan_timeout = 30;
  double hang_timeout = 300;  // 0: hangs are not looked for
};

// Returns the exit code: 0 no more work, 143 told to go or orphaned. Collective over the world.
[[nodiscard]] int run_gang(Group& world, const GangOptions& options);

}  // namespace finescale
