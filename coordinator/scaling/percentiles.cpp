// SPDX-License-Identifier: Apache-2.0
// Intervals from replicates. With few seeds the level of a curve is known with 2 degrees of freedom
// and its shape with many more. Replicates draw both variances from what their estimates allow, and
// percentiles of such sums are too wide (Behrens and Fisher's problem) unless one part dominates.
// The level at which percentiles are taken is therefore moved to where, for a quantity linear in
// both, they have the width of Welch and Satterthwaite's interval.
#include <algorithm>
#include <array>
#include <cmath>

#include "coordinator/scaling/lack_of_fit.h"
#include "coordinator/scaling/replicates.h"

namespace finescale {
namespace {

struct Component {
  double variance;
  double df;
};

constexpr int kScaleDraws = 400;  // the correction is then good to half a percent

// Two-sided: P(|t_df| > quantile) = 1 - level. By bisection on the F distribution.
double student_quantile(double level, double df) {
  double low = 0;
  double high = 1e4;
  while (high - low > 1e-6 * high) {
    const double middle = 0.5 * (low + high);
    (f_upper_tail(middle * middle, 1, df) > 1 - level ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double corrected_level(const std::vector<Component>& components, double level) {
  double sum = 0;
  double fourth = 0;
  for (const Component& c : components) {
    sum += c.variance;
    fourth += c.variance * c.variance / c.df;
  }
  if (!(sum > 0) || !(fourth > 0)) {
    return level;
  }
  const double half_width = student_quantile(level, sum * sum / fourth) * std::sqrt(sum);
  Random random(1, Purpose::kBootstrap, 0);  // of scales: the same for every quantity
  double inside = 0;
  for (int i = 0; i < kScaleDraws; ++i) {
    double variance = 0;
    for (const Component& c : components) {
      variance += c.variance * c.df / draw_chi_squared(random, c.df);
    }
    inside += std::erf(half_width / std::sqrt(2 * variance)) / kScaleDraws;
  }
  return std::min(inside, level);
}

// Share of the values' changes that go with each group's level; the rest is shape.
std::vector<Component> variance_components(std::span<const GroupStudy* const> groups,
                                           const std::vector<double>& values) {
  std::vector<Component> components;
  double explained = 0;
  double mean = 0;
  double count = 0;
  for (const double v : values) {
    mean += std::isfinite(v) ? v : 0;
    count += std::isfinite(v) ? 1 : 0;
  }
  mean /= std::max(count, 1.0);
  double total = 0;
  for (const double v : values) {
    total += std::isfinite(v) ? (v - mean) * (v - mean) : 0;
  }
  double df_shape = 0;
  for (const GroupStudy* group : groups) {
    df_shape += group->noise.df_within;
    double cross = 0;
    double square = 0;
    for (std::size_t r = 0; r < values.size() && r < group->level_shift.size(); ++r) {
      if (std::isfinite(values[r])) {
        cross += group->level_shift[r] * (values[r] - mean);
        square += group->level_shift[r] * group->level_shift[r];
      }
    }
    if (group->resampling != Resampling::kParametric || group->noise.df_between <= 0 ||
        !(square > 0)) {
      continue;
    }
    const double slope = cross / square;
    explained += slope * cross;
    components.push_back(
        {slope * slope * group->noise.between / static_cast<double>(group->data.table.size()),
         group->noise.df_between});
  }
  if (components.empty() || count < 20) {
    return {};
  }
  // Draws of the variance have the mean df / (df - 2) of the estimate.
  const double shrink = df_shape > 2 ? (df_shape - 2) / df_shape : 1;
  components.push_back({std::max(0.0, total - explained) / count * shrink, df_shape});
  return components;
}

}  // namespace

Interval replicate_interval(std::span<const GroupStudy* const> groups, std::vector<double> values,
                            double level) {
  const double corrected = corrected_level(variance_components(groups, values), level);
  return percentile_interval(std::move(values), corrected);
}

Interval replicate_interval(const GroupStudy& group, std::vector<double> values, double level) {
  const std::array<const GroupStudy*, 1> one = {&group};
  return replicate_interval(one, std::move(values), level);
}

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) {
    return std::nan("");
  }
  std::sort(values.begin(), values.end());
  // Position (n + 1) p - 1: each of the n + 1 gaps holds the next draw with equal probability.
  const double position = share * (static_cast<double>(values.size()) + 1) - 1;
  const double clamped = std::clamp(position, 0.0, static_cast<double>(values.size()) - 1);
  const auto below = static_cast<std::size_t>(clamped);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double t = clamped - static_cast<double>(below);
  if (!std::isfinite(values[below]) || !std::isfinite(values[above])) {
    return t < 0.5 ? values[below] : values[above];
  }
  return (1 - t) * values[below] + t * values[above];
}

Interval percentile_interval(std::vector<double> values, double level) {
  std::erase_if(values, [](double v) { return std::isnan(v); });
  return {percentile(values, 0.5 * (1 - level)), percentile(values, 0.5 * (1 + level))};
}

}  // namespace finescale
