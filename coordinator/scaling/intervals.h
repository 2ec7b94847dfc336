// SPDX-License-Identifier: Apache-2.0
// Intervals read off the replicates of one group, or of two.
#pragma once

#include "coordinator/scaling/replicates.h"
#include "coordinator/scaling/study.h"

namespace finescale {

// A target or a crossing further right than this many times the largest budget is not promised.
inline constexpr double kFarthest = 1e4;
// A crossover is reported when a is better at the smallest budget of the two and b at twice the
// largest, each at 5% one-sided: where there is none, one of the two is false, so that one is
// reported with at most that probability (intersection-union test, Berger 1982).
inline constexpr double kCrossoverLevel = 0.9;  // two-sided, of the difference at each end

[[nodiscard]] Interval log_loss_interval(const GroupStudy& group, double D, double level);
// The D at which the interval of the loss holds the target; high is infinite when the target may
// not be reached.
[[nodiscard]] Interval target_interval(const GroupStudy& group, double target, double level);

struct TestedCrossover {
  Crossover crossover;  // its interval is found where supported
  bool supported = false;
};
[[nodiscard]] TestedCrossover test_crossover(const GroupStudy& a, const GroupStudy& b,
                                             double level);

}  // namespace finescale
