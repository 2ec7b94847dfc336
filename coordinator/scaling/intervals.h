// SPDX-License-Identifier: Apache-2.0
// Intervals read off the replicates of one group, or of two.
#pragma once

#include "coordinator/scaling/replicates.h"
#include "coordinator/scaling/study.h"

namespace finescale {

// A target or a crossing further right than this many times the largest budget is not promised.
inline constexpr double kFarthest = 1e4;
// A crossover is reported when this share of the replicates has it (a better at the smallest budget
// of the two, b better at twice the largest).
inline constexpr double kCrossoverShare = 0.95;

[[nodiscard]] Interval log_loss_interval(const GroupStudy& group, double D, double level);
// D that reaches the loss; high is infinite when it may not be reached.
[[nodiscard]] Interval target_interval(const GroupStudy& group, double target, double level);

struct TestedCrossover {
  Crossover crossover;
  bool supported = false;
};
[[nodiscard]] TestedCrossover test_crossover(const GroupStudy& a, const GroupStudy& b,
                                             double level);

}  // namespace finescale
