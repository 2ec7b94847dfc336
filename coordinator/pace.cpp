// SPDX-License-Identifier: Apache-2.0
#include "coordinator/pace.h"

#include <algorithm>

namespace finescale {

namespace {

constexpr double kForgotten = 0.05;  // of what slower stages took, with each that is faster

double own_work(const StageEntry& stage) {
  return std::max(1.0, stage.work - stage.work_before);
}

}  // namespace

void Pace::learn(const StageEntry& stage, const proto::StageResult& result) {
  if (!result.has_seconds()) {
    return;
  }
  const double own = std::max(0.0, result.seconds() - result.inherited().seconds());
  const double now = own / own_work(stage);
  const auto [known, is_new] = seconds_of_work_.try_emplace(stage.stored.label, now);
  if (!is_new) {
    known->second = std::max(now, known->second + kForgotten * (now - known->second));
  }
}

std::optional<double> Pace::expected_seconds(const StageEntry& stage) const {
  const auto known = seconds_of_work_.find(stage.stored.label);
  return known == seconds_of_work_.end() ? std::nullopt
                                         : std::optional(known->second * own_work(stage));
}

}  // namespace finescale
