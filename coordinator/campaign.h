// SPDX-License-Identifier: Apache-2.0
// Runs a sweep until it is done or told to stop: connects the reactor with the store, the RPC
// server, the launcher and the clock. One thread.
#pragma once

#include <functional>
#include <string>

#include "configs/schema/sweep.pb.h"
#include "core/log.h"

namespace finescale {

struct CampaignOptions {
  config::Sweep sweep;
  std::string directory;             // absolute
  std::function<int()> stop_signal;  // 0, or the signal that asks to stop
  bool live_line = false;            // a terminal
  bool extend = false;               // the sweep may have grown
};

// Returns the exit code: 0 done, 1 some trial failed, 130/143 interrupted (finescale
// stop: 143) with its state saved.
[[nodiscard]] int run_campaign(const CampaignOptions& options, Logger& logger);

}  // namespace finescale
