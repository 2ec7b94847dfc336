// SPDX-License-Identifier: Apache-2.0
// Equal tuning: what the finished tuning trials decide. Pure, over planned trials and the states of
// their stages.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/plan.h"
#include "coordinator/trial_metric.h"

namespace finescale {

struct TuningDecision {
  std::string group;
  std::map<std::string, std::string> values;  // path -> value of the winner
  double metric = 0;                          // of the winner, as measured; mean over seeds
};

// One for every group that is not decided yet, has no open tuning trial, and has a finite value.
// A value counts by the mean over its seeds. Failed and stopped tuning trials count as infinitely
// bad; ties go to the earlier trial. Throws kConfig when a done tuning trial does not measure the
// metric.
[[nodiscard]] std::vector<TuningDecision> tuning_decisions(const config::Tune& tune,
                                                           const std::vector<PlannedTrial>& trials,
                                                           const StageEntries& stages,
                                                           const TunedValues& decided);

// Groups that are not decided and never will be: of every value a tuning trial failed, was stopped,
// or measured no finite value. Their trials fail.
[[nodiscard]] std::set<std::string> undecidable_groups(const config::Tune& tune,
                                                       const std::vector<PlannedTrial>& trials,
                                                       const StageEntries& stages,
                                                       const TunedValues& decided);

}  // namespace finescale
