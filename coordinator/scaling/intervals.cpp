// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/intervals.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace finescale {
namespace {

constexpr double kSearchBeyond = 8;  // replicates may cross this factor outside the budgets

// ln of the crossing inside [low, high], else of one just outside on the side where it must lie.
double place_of_crossing(const Curve& a, const Curve& b, double low, double high) {
  const double inside = ln_crossing(a, b, low, high);
  if (inside == kNever) {
    return ln_crossing(a, b, high, high * kSearchBeyond);
  }
  return inside == -kNever ? ln_crossing(a, b, low / kSearchBeyond, low) : inside;
}

}  // namespace

Interval log_loss_interval(const GroupStudy& group, double D, double level) {
  std::vector<double> values;
  values.reserve(group.curves.size());
  for (const Curve& curve : group.curves) {
    values.push_back(curve_log_loss(curve, D));
  }
  return replicate_interval(group, std::move(values), level);
}

Interval target_interval(const GroupStudy& group, double target, double level) {
  std::vector<double> values;
  values.reserve(group.curves.size());
  for (const Curve& curve : group.curves) {
    values.push_back(std::log(data_to_reach(curve, std::log(target), group.data.min_budget() / 16,
                                            group.data.max_budget() * kFarthest)));
  }
  const Interval ln_D = replicate_interval(group, std::move(values), level);
  return {std::exp(ln_D.low), std::exp(ln_D.high)};
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
  const double at = ln_crossing(a.chosen, b.chosen, low, high);
  std::vector<double> places;
  int inside = 0;
  const std::size_t replicates = std::min(a.curves.size(), b.curves.size());
  for (std::size_t r = 0; r < replicates; ++r) {
    const double place = place_of_crossing(a.curves[r], b.curves[r], low, high);
    inside += place >= std::log(low) && place <= std::log(high) ? 1 : 0;
    places.push_back(place);
  }
  result.crossover.probability =
      replicates > 0 ? static_cast<double>(inside) / static_cast<double>(replicates) : 0;
  if (std::isfinite(at)) {
    result.crossover.at = std::exp(at);
    const std::array<const GroupStudy*, 2> pair = {&a, &b};
    const Interval interval = replicate_interval(pair, std::move(places), level);
    result.crossover.interval = {std::exp(interval.low), std::exp(interval.high)};
    result.supported = result.crossover.probability >= kCrossoverShare;
  }
  return result;
}

}  // namespace finescale
