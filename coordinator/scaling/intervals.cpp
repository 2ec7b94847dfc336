// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/intervals.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

namespace finescale {
namespace {

constexpr double kSearchBeyond = 8;       // a crossover's interval may end this factor outside
constexpr double kPlaceTolerance = 1e-4;  // of ln D: far below the noise of the replicates

// Interval, at ln D, of a quantity that falls with D and of which the place of 0 is asked. The
// places at which it holds 0 are the interval of that place (Fieller 1954): replicates that are
// never 0 count on the side where they must be.
using FallingBand = std::function<Interval(double ln_D)>;

// Where a side of the band falls through 0; infinite where it does not.
double fall_through_zero(const FallingBand& band, double Interval::*side, double left,
                         double right) {
  if (band(left).*side <= 0) {
    return -kNever;
  }
  if (band(right).*side > 0) {
    return kNever;
  }
  while (right - left > kPlaceTolerance) {
    const double middle = 0.5 * (left + right);
    (band(middle).*side > 0 ? left : right) = middle;
  }
  return 0.5 * (left + right);
}

// The same, and outside [left, right] only when it is not inside: a difference of two curves may
// change its sign once more where nothing was measured.
double fall_nearby(const FallingBand& band, double Interval::*side, double left, double right,
                   double beyond) {
  const double inside = fall_through_zero(band, side, left, right);
  if (std::isfinite(inside)) {
    return inside;
  }
  return inside < 0 ? fall_through_zero(band, side, left - beyond, left)
                    : fall_through_zero(band, side, right, right + beyond);
}

std::vector<double> log_losses(const GroupStudy& group, double D, double factor) {
  std::vector<double> values;
  values.reserve(group.curves.size());
  for (const Curve& curve : group.curves) {
    values.push_back(factor * curve_log_loss(curve, D));
  }
  return values;
}

// Of ln L of b less that of a.
Interval difference_interval(const GroupStudy& a, const GroupStudy& b, double D, double level) {
  const std::array<ReplicatePart, 2> parts = {ReplicatePart{&b, log_losses(b, D, 1)},
                                              ReplicatePart{&a, log_losses(a, D, -1)}};
  return replicate_interval(parts, level);
}

// Share of the replicates in which a is better at low and b at high.
double crossing_share(const GroupStudy& a, const GroupStudy& b, double low, double high) {
  const std::size_t replicates = std::min(a.curves.size(), b.curves.size());
  int crossing = 0;
  for (std::size_t r = 0; r < replicates; ++r) {
    crossing += curve_log_loss(a.curves[r], low) < curve_log_loss(b.curves[r], low) &&
                        curve_log_loss(a.curves[r], high) >= curve_log_loss(b.curves[r], high)
                    ? 1
                    : 0;
  }
  return replicates > 0 ? static_cast<double>(crossing) / static_cast<double>(replicates) : 0;
}

}  // namespace

Interval log_loss_interval(const GroupStudy& group, double D, double level) {
  return replicate_interval(group, log_losses(group, D, 1), level);
}

Interval target_interval(const GroupStudy& group, double target, double level) {
  const double ln_target = std::log(target);
  const double low = group.data.min_budget() / 16;
  const double high = group.data.max_budget() * kFarthest;
  if (!group.has_form) {  // joined means may rise in between: of the first place, as the answer is
    std::vector<double> values;
    for (const Curve& curve : group.curves) {
      values.push_back(std::log(data_to_reach(curve, ln_target, low, high)));
    }
    const Interval ln_D = replicate_interval(group, std::move(values), level);
    return {std::exp(ln_D.low), std::exp(ln_D.high)};
  }
  const auto above_target = [&](double ln_D) {
    const Interval ln_loss = log_loss_interval(group, std::exp(ln_D), level);
    return Interval{ln_loss.low - ln_target, ln_loss.high - ln_target};
  };
  const auto place = [&](double Interval::*side) {
    return std::exp(fall_through_zero(above_target, side, std::log(low), std::log(high)));
  };
  return {std::max(low, place(&Interval::low)), std::max(low, place(&Interval::high))};
}

TestedCrossover test_crossover(const GroupStudy& a, const GroupStudy& b, double level) {
  const double low = std::max(a.data.min_budget(), b.data.min_budget());
  const double beyond = a.has_form && b.has_form ? 2 : 1;
  const double high = beyond * std::min(a.data.max_budget(), b.data.max_budget());
  TestedCrossover result;
  result.crossover.a = a.data.name;
  result.crossover.b = b.data.name;
  if (!(low < high)) {
    return result;
  }
  result.crossover.probability = crossing_share(a, b, low, high);
  const double at = ln_crossing(a.chosen, b.chosen, low, high);
  if (!std::isfinite(at)) {
    return result;
  }
  result.crossover.at = std::exp(at);
  result.supported = difference_interval(a, b, low, kCrossoverLevel).low > 0 &&
                     difference_interval(a, b, high, kCrossoverLevel).high < 0;
  if (result.supported) {
    const auto difference = [&](double ln_D) {
      return difference_interval(a, b, std::exp(ln_D), level);
    };
    const auto place = [&](double Interval::*side) {
      return std::exp(
          fall_nearby(difference, side, std::log(low), std::log(high), std::log(kSearchBeyond)));
    };
    result.crossover.interval = {place(&Interval::low), place(&Interval::high)};
  }
  return result;
}

}  // namespace finescale
