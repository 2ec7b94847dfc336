// SPDX-License-Identifier: Apache-2.0
#include "coordinator/decisions.h"

#include <cmath>
#include <limits>
#include <optional>

#include "core/crash_point.h"

namespace finescale {

std::vector<std::uint64_t> Decisions::replay(const SearchSpace& space) {
  tuned_ = store_.tuned();
  search_ = make_search(sweep_.search(), space);
  std::vector<std::uint64_t> points;
  for (const StoredDecision& decision : store_.decisions()) {
    points.push_back(decision.point);
  }
  if (points.empty()) {
    points = search_->next({});
  }
  decided_.clear();
  for (const std::uint64_t point : is_adaptive() ? points : std::vector<std::uint64_t>()) {
    decided_.push_back({point});
  }
  return points;
}

void Decisions::journal_start() {
  if (is_adaptive() && store_.decisions().empty()) {
    for (const Observation& one : decided_) {
      store_.add_decision({one.point, "start"});
    }
  }
}

std::vector<TuningDecision> Decisions::decide_tuning(const std::vector<PlannedTrial>& trials,
                                                     const StageEntries& stages) {
  if (!sweep_.has_tune()) {
    return {};
  }
  std::vector<TuningDecision> decisions = tuning_decisions(sweep_.tune(), trials, stages, tuned_);
  for (const TuningDecision& decision : decisions) {
    store_.begin();
    for (const auto& [path, value] : decision.values) {
      store_.put_tuned(decision.group, path, value);
    }
    store_.commit();
    crash_point("coordinator.after_tuning_decision");
  }
  return decisions;
}

std::vector<std::uint64_t> Decisions::decide_search(const std::vector<PlannedTrial>& trials,
                                                    const StageEntries& stages,
                                                    const IsStopped& is_stopped) {
  if (!is_adaptive()) {
    return {};
  }
  const std::string metric = search_metric(sweep_.search());
  for (std::size_t i = 0; i < decided_.size(); ++i) {
    if (decided_[i].outcome != Outcome::kOpen) {
      continue;
    }
    const std::optional<double> value = is_stopped(trials[i].id)
                                            ? std::numeric_limits<double>::infinity()
                                            : measured(trials[i], stages, metric, "search");
    if (value) {
      decided_[i].cost = cost_of(metric, *value);
      decided_[i].outcome = std::isfinite(decided_[i].cost) ? Outcome::kMeasured : Outcome::kLost;
    }
  }
  std::vector<std::uint64_t> points = search_->next(decided_);
  if (points.empty()) {
    return points;
  }
  store_.begin();
  for (const std::uint64_t point : points) {
    store_.add_decision({point, "after " + std::to_string(decided_.size()) + " trials"});
    decided_.push_back({point});
  }
  store_.commit();
  crash_point("coordinator.after_search_decision");
  return points;
}

std::set<std::string> Decisions::lost_groups(const std::vector<PlannedTrial>& trials,
                                             const StageEntries& stages) const {
  return sweep_.has_tune() ? undecidable_groups(sweep_.tune(), trials, stages, tuned_)
                           : std::set<std::string>();
}

}  // namespace finescale
