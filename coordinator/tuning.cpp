// SPDX-License-Identifier: Apache-2.0
#include "coordinator/tuning.h"

#include <cmath>
#include <limits>
#include <optional>

#include "coordinator/status.h"
#include "core/error.h"

namespace finescale {

namespace {

bool is_higher_better(const std::string& metric) {
  return metric == "exact_match" || metric.ends_with(".exact_match");
}

// The trial is over without a result.
bool is_lost(const PlannedTrial& trial, const StageEntries& stages) {
  const std::string state = trial_state(trial, false, stages);
  return state == "failed" || state == "stopped";
}

// What the trial measured; infinite when it is lost, nothing while it is open.
std::optional<double> measured(const PlannedTrial& trial, const StageEntries& stages,
                               const std::string& metric) {
  if (is_lost(trial, stages)) {
    return std::numeric_limits<double>::infinity();
  }
  if (trial_state(trial, false, stages) != "done") {
    return std::nullopt;
  }
  for (auto key = trial.stages.rbegin(); key != trial.stages.rend(); ++key) {
    proto::StageResult result;
    (void)result.ParseFromString(stages.at(*key).stored.result);
    for (const proto::EvalRow& row : result.evals()) {
      if (row.set() + "." + row.metric() == metric) {
        return row.value();
      }
    }
  }
  throw Error(ErrorKind::kConfig, "tuning trials do not measure " + metric, "tune.metric",
              "let an evaluate stage of the trial measure it");
}

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
    const std::optional<double> value = measured(trial, stages, tune.metric());
    if (!value) {
      open.insert(trial.tune_group);
      continue;
    }
    const bool flipped = std::isfinite(*value) && is_higher_better(tune.metric());
    const double cost = std::isnan(*value) ? std::numeric_limits<double>::infinity()
                        : flipped          ? -*value
                                           : *value;
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
      const std::optional<double> value = measured(trial, stages, tune.metric());
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
