// SPDX-License-Identifier: Apache-2.0
// Synthetic sweeps with a known truth: curves drawn over the range of real fine-tuning curves, runs
// with independent or trunk-correlated noise.
#pragma once

#include <string>
#include <vector>

#include "coordinator/scaling/curve.h"
#include "core/random.h"

namespace finescale::synthetic {

enum class Truth { kRectified, kPowerOffset, kCrossing, kNoCrossing };

struct Setting {
  Truth truth = Truth::kRectified;
  double sigma = 0.01;      // of ln L, one run
  bool correlated = false;  // half of the variance is shared by the runs of a trunk
  int seeds = 3;
};

struct Sweep {
  std::vector<LawPoint> points;  // groups "a" and, for pairs, "b"
  std::vector<Curve> curves;     // the truth
  double min_D = 0, max_D = 0;
  double target = 0;    // a loss that curve a has at target_D
  double target_D = 0;  // in [max_D / 4, 2 max_D]
  double crossing = 0;  // 0: none
};

[[nodiscard]] Sweep make_sweep(const Setting& setting, unsigned long long seed);

}  // namespace finescale::synthetic
