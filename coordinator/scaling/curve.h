// SPDX-License-Identifier: Apache-2.0
// What is asked of one fitted curve over D: its value, the D that reaches a loss, where two cross.
#pragma once

#include <limits>
#include <vector>

#include "coordinator/scaling/law.h"

namespace finescale {

struct Curve {
  const Law* law = nullptr;  // null: no form; the knots are joined by straight lines
  Theta theta{};
  double N = 0;
  // ln D ascending and ln L there, for a curve without a form; level beyond both ends.
  std::vector<double> knot_x{}, knot_y{};
};

inline constexpr double kNever = std::numeric_limits<double>::infinity();

[[nodiscard]] double curve_log_loss(const Curve& curve, double D);

// Smallest D in [low, high] with loss <= target; low when it holds there, kNever when not at high.
[[nodiscard]] double data_to_reach(const Curve& curve, double ln_target, double low, double high);

// ln of the D in [low, high] above which b is better, when a is better at low and b at high;
// -kNever when b is better at both ends, kNever when a is, NaN when only the other way round.
[[nodiscard]] double ln_crossing(const Curve& a, const Curve& b, double low, double high);

}  // namespace finescale
