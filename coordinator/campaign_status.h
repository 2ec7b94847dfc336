// SPDX-License-Identifier: Apache-2.0
// What a running campaign says of itself: the status document, its snapshot in the directory, and
// the live line or the log lines for people.
#pragma once

#include <optional>
#include <string>

#include "coordinator/campaign_book.h"
#include "coordinator/coordinator_claim.h"
#include "coordinator/reactor.h"
#include "core/log.h"

namespace finescale {

class CampaignStatus {
 public:
  // All must outlive it. `started` on the clock of `now` below.
  CampaignStatus(const std::string& name, const CampaignBook& book, const Reactor& reactor,
                 double started, bool live_line, Logger& logger);

  [[nodiscard]] std::string document(const std::string& state, double now);
  // At most once a second, and at most a fiftieth of the time (it looks at all trials); always when
  // forced. Throws what the claim throws, and then the snapshot is the other coordinator's still:
  // a flush to disk is where a stopped coordinator is found most often.
  void publish(const std::string& state, double now, bool force, CoordinatorClaim& claim);
  // In front of anything else that goes to the terminal.
  void clear_line();
  void end_line();
  [[nodiscard]] bool is_live() const noexcept { return live_line_; }

 private:
  const std::string& name_;
  const CampaignBook& book_;
  const Reactor& reactor_;
  double started_;
  double earlier_s_;  // that earlier coordinators took
  bool live_line_;
  Logger& logger_;
  std::optional<double> work_before_;  // done when this run began
  double next_status_ = -1e9;
  double last_line_ = 0;
  bool line_open_ = false;
};

}  // namespace finescale
