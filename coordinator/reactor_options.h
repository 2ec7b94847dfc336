// SPDX-License-Identifier: Apache-2.0
// What the scheduler is told once: how many gangs, how patient, how often a stage is tried.
#pragma once

#include <cstdint>
#include <limits>

namespace finescale {

struct ReactorOptions {
  int gangs = 1;
  int max_attempts = 3;
  double heartbeat_timeout = 60;
  double launch_timeout = 120;  // from the launch of a gang to its first call
  // Gangs wait for their place in a queue: as many are wanted as there are stages for, their launch
  // begins when they have it, and one without work for idle_timeout is sent away.
  bool queued_gangs = false;
  double idle_timeout = std::numeric_limits<double>::infinity();
  double retry_delay = 1;
  double retry_delay_max = 60;
  std::int64_t coordinator_epoch = 1;
  std::uint64_t seed = 1;  // of the back-off's jitter
};

}  // namespace finescale
