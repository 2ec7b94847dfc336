// SPDX-License-Identifier: Apache-2.0
// The document of `finescale status`, built by the live coordinator and published as status.json.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "coordinator/plan.h"
#include "coordinator/reactor.h"

namespace finescale {

struct StatusInput {
  std::string campaign;
  std::string state;  // running | done | interrupted | failed
  const std::vector<PlannedTrial>* trials = nullptr;
  const std::vector<std::string>* stopped_trials = nullptr;
  const Reactor* reactor = nullptr;
  std::set<std::string> lost_groups;  // of tuning: their trials will never run
  double now = 0;                     // the reactor's clock
  double elapsed_s = 0;               // of this coordinator
  double earlier_s = 0;               // of those before
  double done_work = 0;               // of total_work, any unit: for eta_s
  double total_work = 0;
  double work_before = 0;  // of done_work: by an earlier run
};

// pending, running, done, failed, stopped.
[[nodiscard]] std::string trial_state(const PlannedTrial& trial, bool stopped,
                                      const StageEntries& stages);

// The same; a trial that waits for a lost tuning group has failed.
[[nodiscard]] std::string planned_state(const PlannedTrial& trial, bool stopped,
                                        const StageEntries& stages,
                                        const std::set<std::string>& lost_groups);

// Of all coordinators of a campaign so far, as the last one published it (a second before it was
// killed); 0: nothing yet.
[[nodiscard]] double published_wall_seconds(const std::string& directory);

[[nodiscard]] std::string status_json(const StatusInput& input);
// One line for people from that document.
[[nodiscard]] std::string status_line(const std::string& json);
[[nodiscard]] std::string status_text(const std::string& json);  // the table of `finescale status`

}  // namespace finescale
