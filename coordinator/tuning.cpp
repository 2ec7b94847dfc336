// SPDX-License-Identifier: Apache-2.0
#include "coordinator/tuning.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace finescale {

namespace {

// A value that is tried: sums over its trials.
struct Candidate {
  const PlannedTrial* first = nullptr;
  int trials = 0;
  double cost = 0;  // lower is better; infinite when a trial has none
  double metric = 0;
};
struct Group {
  bool is_open = false;  // a trial is not over
  std::vector<Candidate> candidates;
};

// Those that are not decided.
std::map<std::string, Group> groups_of(const config::Tune& tune,
                                       const std::vector<PlannedTrial>& trials,
                                       const StageEntries& stages, const TunedValues& decided) {
  std::map<std::string, Group> groups;
  for (const PlannedTrial& trial : trials) {
    if (!trial.is_tuning || decided.contains(trial.tune_group)) {
      continue;
    }
    Group& group = groups[trial.tune_group];
    auto candidate =
        std::find_if(group.candidates.begin(), group.candidates.end(),
                     [&](const Candidate& one) { return one.first->tuned == trial.tuned; });
    if (candidate == group.candidates.end()) {
      candidate = group.candidates.insert(candidate, {.first = &trial});
    }
    if (const auto value = measured(trial, stages, tune.metric(), "tune.metric")) {
      ++candidate->trials;
      candidate->cost += cost_of(tune.metric(), *value);
      candidate->metric += *value;
    } else {
      group.is_open = true;
    }
  }
  return groups;
}

}  // namespace

std::vector<TuningDecision> tuning_decisions(const config::Tune& tune,
                                             const std::vector<PlannedTrial>& trials,
                                             const StageEntries& stages,
                                             const TunedValues& decided) {
  std::vector<TuningDecision> decisions;
  for (const auto& [name, group] : groups_of(tune, trials, stages, decided)) {
    if (group.is_open) {
      continue;
    }
    const auto best = std::min_element(group.candidates.begin(), group.candidates.end(),
                                       [](const Candidate& a, const Candidate& b) {
                                         return a.cost / a.trials < b.cost / b.trials;
                                       });
    if (std::isfinite(best->cost)) {
      decisions.push_back({name, best->first->tuned, best->metric / best->trials});
    }
  }
  return decisions;
}

std::set<std::string> undecidable_groups(const config::Tune& tune,
                                         const std::vector<PlannedTrial>& trials,
                                         const StageEntries& stages, const TunedValues& decided) {
  std::set<std::string> lost;
  for (const auto& [name, group] : groups_of(tune, trials, stages, decided)) {
    if (std::none_of(group.candidates.begin(), group.candidates.end(),
                     [](const Candidate& one) { return std::isfinite(one.cost); })) {
      lost.insert(name);
    }
  }
  return lost;
}

}  // namespace finescale
