// SPDX-License-Identifier: Apache-2.0
// Intervals from replicates. With few seeds the level of a curve is known with 2 degrees of freedom
// and its shape with many more; in a difference each method's variance is known by itself.
// Replicates draw every variance from what its estimate allows, and percentiles of such sums are
// too wide (Behrens and Fisher's problem) unless one part dominates. The level at which percentiles
// are taken is therefore moved to where, for a quantity linear in all of them, they have the width
// of Welch and Satterthwaite's interval.
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
  if (components.size() < 2 || !(sum > 0) || !(fourth > 0)) {
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

struct Spread {
  double variance = 0;
  double of_level = 0;  // the share that goes with the group's level
  double slope = 0;     // of the value against the level
  int count = 0;
};

Spread spread(const ReplicatePart& part) {
  Spread result;
  double mean = 0;
  for (const double v : part.values) {
    mean += std::isfinite(v) ? v : 0;
    result.count += std::isfinite(v) ? 1 : 0;
  }
  mean /= std::max(result.count, 1);
  double total = 0;
  double cross = 0;
  double square = 0;
  for (std::size_t r = 0; r < part.values.size(); ++r) {
    if (std::isfinite(part.values[r])) {
      const double change = part.values[r] - mean;
      const double level = part.group->level_shift[r];
      total += change * change;
      cross += level * change;
      square += level * level;
    }
  }
  result.variance = total / std::max(result.count, 1);
  if (square > 0) {
    result.slope = cross / square;
    result.of_level = result.slope * cross / result.count;
  }
  return result;
}

// The variances that make up that of the part, each with what is known of it. Draws of a variance
// have the mean df / (df - 2) of its estimate.
void add_components(const ReplicatePart& part, std::vector<Component>& components) {
  const GroupStudy& group = *part.group;
  const Noise& noise = group.noise;
  const Spread found = spread(part);
  const auto estimate = [](double drawn, double df) {
    return df > 2 ? drawn * (df - 2) / df : drawn;
  };
  if (found.count < 20 || group.resampling == Resampling::kRows) {
    return;
  }
  if (group.resampling == Resampling::kTrunks) {
    const double df = group.data.num_trunks - 1;
    components.push_back({estimate(found.variance, df), df});
    return;
  }
  double shape = found.variance;
  if (noise.df_between > 0 && found.of_level > 0) {
    shape = std::max(0.0, shape - found.of_level);
    components.push_back(
        {found.slope * found.slope * noise.between / static_cast<double>(group.data.table.size()),
         noise.df_between});
  }
  components.push_back({estimate(shape, noise.df_within), noise.df_within});
}

}  // namespace

Interval replicate_interval(std::span<const ReplicatePart> parts, double level) {
  std::vector<Component> components;
  std::vector<double> sum = parts.front().values;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    add_components(parts[p], components);
    sum.resize(std::min(sum.size(), parts[p].values.size()));
    for (std::size_t r = 0; p > 0 && r < sum.size(); ++r) {
      sum[r] += parts[p].values[r];
    }
  }
  return percentile_interval(std::move(sum), corrected_level(components, level));
}

Interval replicate_interval(const GroupStudy& group, std::vector<double> values, double level) {
  const std::array<ReplicatePart, 1> one = {ReplicatePart{&group, std::move(values)}};
  return replicate_interval(one, level);
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
