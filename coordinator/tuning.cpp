// SPDX-License-Identifier: Apache-2.0
#include "coordinator/tuning.h"

#include <cmath>
#include <optional>

namespace finescale {

namespace {

struct Best {
  double cost = 0;  // lower is better
  double metric = 0;
  const PlannedTrial* trial = nullptr;
};

}  // namespace

std::vector<TuningDecision> tuning_decisions(const config::Tune& tune,
                                             const std::vector<PlannedTrial>& trials,
                                             const StageEntries& stages,
                                             const TunedValues& decided) {
  std::map<std::string, Best> best;
  std::set<std::string> open;
  for (const PlannedTrial& trial : trials) {
    if (!trial.is_tuning || decided.contains(trial.tune_group)) {
      continue;
    }
    const std::optional<double> value = measured(trial, stages, tune.metric(), "tune.metric");
    if (!value) {
      open.insert(trial.tune_group);
      continue;
    }
    const double cost = cost_of(tune.metric(), *value);
    auto [it, is_new] = best.emplace(trial.tune_group, Best{cost, *value, &trial});
    if (!is_new && cost < it->second.cost) {
      it->second = {cost, *value, &trial};
    }
  }
  std::vector<TuningDecision> decisions;
  for (const auto& [group, winner] : best) {
    if (!open.contains(group) && std::isfinite(winner.cost)) {
      decisions.push_back({group, winner.trial->tuned, winner.metric});
    }
  }
  return decisions;
}

std::set<std::string> undecidable_groups(const config::Tune& tune,
                                         const std::vector<PlannedTrial>& trials,
                                         const StageEntries& stages, const TunedValues& decided) {
  std::set<std::string> groups;
  std::set<std::string> alive;
  for (const PlannedTrial& trial : trials) {
    if (trial.is_tuning && !decided.contains(trial.tune_group)) {
      groups.insert(trial.tune_group);
      const std::optional<double> value = measured(trial, stages, tune.metric(), "tune.metric");
      if (!value || std::isfinite(*value)) {
        alive.insert(trial.tune_group);
      }
    }
  }
  for (const std::string& group : alive) {
    groups.erase(group);
  }
  return groups;
}

}  // namespace finescale
