// SPDX-License-Identifier: Apache-2.0
// Finds calls that do not finish. Each rank has a thread that looks at the rank's calls in
// progress. When one is older than the timeout, it reports to rank 0's watchdog, which asks all
// ranks what they are doing, says who is late, and ends the job with the exit code of kComm. If
// rank 0 does not end the job in time, ranks 1 and 2 are asked the same, and then the waiting rank
// ends the job with what it knows. Messages between watchdogs never wait, so a stopped rank stops
// nobody else's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/group.h"

namespace finescale {

struct WatchdogOptions {
  double timeout_s = 300;  // longer than the slowest honest wait; 0: off. Equal on all ranks
  double answer_s = 5;     // how long a rank may take to say what it is doing
  // What is done with the finding; empty: print it and abort the world. May return, and then this
  // rank reports no more.
  std::function<void(const std::string& message)> end_job;
};

class Watchdog {
 public:
  // Watches all groups of this world. `world` must outlive it. Collective over world.
  explicit Watchdog(Group& world, WatchdogOptions options = {});
  ~Watchdog();  // waits for nobody
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;  // null: off
};

}  // namespace finescale
