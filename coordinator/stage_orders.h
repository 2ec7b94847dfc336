// SPDX-License-Identifier: Apache-2.0
// Which stages a gang gets together, and their leases: short ones go out several at a time, since
// an order and its flush would cost more than their work. One thread.
#pragma once

#include <optional>

#include "coordinator/gang_table.h"
#include "coordinator/pace.h"
#include "coordinator/reactor_actions.h"
#include "coordinator/reactor_options.h"
#include "coordinator/stage_table.h"

namespace finescale {

class StageOrders {
 public:
  // All of it must outlive the orders.
  StageOrders(const ReactorOptions& options, StageTable& stages, GangTable& gangs)
      : options_(options), stages_(stages), gangs_(gangs) {}

  // The answer to the call that this gang waits with: `first`, and behind a short one more of them
  // as long as all together are short.
  [[nodiscard]] Order make(GangEntry& gang, StageEntry& first, double now);
  // A stage was committed with this result.
  void learn(const StageEntry& stage, const proto::StageResult& result) {
    pace_.learn(stage, result);
  }

 private:
  void lease(StageEntry& stage, GangEntry& gang, double now);
  [[nodiscard]] int thread_shares(const GangEntry& gang) const;
  [[nodiscard]] std::size_t most_stages(const GangEntry& gang) const;
  [[nodiscard]] std::optional<double> short_seconds(const StageEntry& stage) const;

  const ReactorOptions& options_;
  StageTable& stages_;
  GangTable& gangs_;
  Pace pace_;
};

}  // namespace finescale
