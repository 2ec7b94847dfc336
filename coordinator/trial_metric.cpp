// SPDX-License-Identifier: Apache-2.0
#include "coordinator/trial_metric.h"

#include <cmath>
#include <limits>

#include "coordinator/status.h"
#include "core/error.h"

namespace finescale {

namespace {

bool is_higher_better(const std::string& metric) {
  const std::string name = metric.substr(metric.rfind('.') + 1);
  return name == "exact_match" || name == "accuracy";
}

}  // namespace

std::optional<double> measured(const PlannedTrial& trial, const StageEntries& stages,
                               const std::string& metric, const std::string& where) {
  const std::string state = trial_state(trial, false, stages);
  if (state == "failed" || state == "stopped") {
    return std::numeric_limits<double>::infinity();
  }
  if (state != "done") {
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
  throw Error(ErrorKind::kConfig, "trials do not measure " + metric, where,
              "let an evaluate stage of the trial measure it");
}

double cost_of(const std::string& metric, double value) {
  if (!std::isfinite(value)) {
    return std::numeric_limits<double>::infinity();
  }
  return is_higher_better(metric) ? -value : value;
}

}  // namespace finescale
