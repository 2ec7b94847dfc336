// SPDX-License-Identifier: Apache-2.0
#include "tests/scaling/synthetic.h"

#include <algorithm>
#include <cmath>

namespace finescale::synthetic {
namespace {

double between(Random& random, double low, double high) {
  return low + (high - low) * random.uniform();
}

// Floor 0.8 to 1.6, falling part of 0.8 to 2.5 at the smallest budget, exponents of real curves.
Curve draw_curve(Random& random, bool rectified, double min_D) {
  const double floor = between(random, 0.8, 1.6);
  const double falling = between(random, 0.8, 2.5);
  if (!rectified) {
    const double alpha = between(random, 0.2, 0.6);
    return {&find_law("power_offset"),
            {std::log(floor), std::log(falling) + alpha * std::log(min_D), alpha},
            0};
  }
  const double beta = between(random, 0.3, 0.8);
  // The knee lies between a quarter of and 8 times the smallest budget.
  const double ln_knee = std::log(min_D) + between(random, std::log(0.25), std::log(8.0));
  const double ln_Dl = beta * ln_knee;
  const double ln_below = std::log(std::exp(ln_Dl) + std::pow(min_D, beta));
  return {&find_law("rectified"), {std::log(floor), std::log(falling) + ln_below, ln_Dl, beta}, 0};
}

// The curve with every loss multiplied: E and A (or B) are logarithms in both forms.
Curve scaled(Curve curve, double ln_factor) {
  curve.theta[0] += ln_factor;
  curve.theta[1] += ln_factor;
  return curve;
}

double gap(const Sweep& sweep, double D) {
  return curve_log_loss(sweep.curves[0], D) - curve_log_loss(sweep.curves[1], D);
}

bool one_sided(const Sweep& sweep) {
  const bool sign = gap(sweep, sweep.min_D) < 0;
  for (double D = sweep.min_D; D <= 2.001 * sweep.max_D; D *= 1.19) {
    if ((gap(sweep, D) < 0) != sign) {
      return false;
    }
  }
  return true;
}

void draw_pair(Random& random, bool crossing, Sweep& sweep) {
  const double least = 0.03;  // a difference at both ends that someone would care about
  for (;;) {
    sweep.curves = {draw_curve(random, random.uniform() < 0.5, sweep.min_D)};
    if (!crossing && random.uniform() < 0.5) {
      // The same shape, 0 to 6% apart: hard to tell from a crossing.
      sweep.curves.push_back(scaled(sweep.curves[0], between(random, 0, 0.06)));
      return;
    }
    sweep.curves.push_back(draw_curve(random, random.uniform() < 0.5, sweep.min_D));
    if (!crossing) {
      if (one_sided(sweep)) {
        return;
      }
      continue;
    }
    sweep.crossing =
        std::exp(between(random, std::log(2 * sweep.min_D), std::log(0.5 * sweep.max_D)));
    sweep.curves[1] = scaled(sweep.curves[1], gap(sweep, sweep.crossing));
    if (gap(sweep, sweep.min_D) < -least && gap(sweep, sweep.max_D) > least) {
      return;
    }
  }
}

}  // namespace

Sweep make_sweep(const Setting& setting, unsigned long long seed) {
  Random random(seed, Purpose::kSimulation, static_cast<unsigned long long>(setting.truth));
  Sweep sweep;
  const auto budgets = static_cast<int>(7 + random.below(3));
  sweep.min_D = between(random, 100, 400);
  sweep.max_D = sweep.min_D * std::pow(2.0, budgets - 1);
  if (setting.truth == Truth::kRectified || setting.truth == Truth::kPowerOffset) {
    sweep.curves = {draw_curve(random, setting.truth == Truth::kRectified, sweep.min_D)};
  } else {
    draw_pair(random, setting.truth == Truth::kCrossing, sweep);
  }
  sweep.target_D =
      std::exp(between(random, std::log(0.25 * sweep.max_D), std::log(2 * sweep.max_D)));
  sweep.target = std::exp(curve_log_loss(sweep.curves[0], sweep.target_D));
  const double shared = setting.correlated ? std::sqrt(0.5) : 0.0;
  const double own = std::sqrt(1 - shared * shared);
  for (std::size_t c = 0; c < sweep.curves.size(); ++c) {
    for (int s = 0; s < setting.seeds; ++s) {
      const double trunk = random.normal();
      for (int b = 0; b < budgets; ++b) {
        LawPoint point;
        point.D = sweep.min_D * std::pow(2.0, b);
        point.group = c == 0 ? "a" : "b";
        point.trunk = point.group + " seed " + std::to_string(s);
        point.loss = std::exp(curve_log_loss(sweep.curves[c], point.D) +
                              setting.sigma * (shared * trunk + own * random.normal()));
        sweep.points.push_back(point);
      }
    }
  }
  return sweep;
}

}  // namespace finescale::synthetic
