// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/noise.h"

#include <algorithm>
#include <cmath>

namespace finescale {
namespace {

std::vector<double> cell_average(const GroupData& group) {
  std::vector<double> sum(static_cast<std::size_t>(group.num_cells), 0.0);
  std::vector<double> count(sum.size(), 0.0);
  for (std::size_t i = 0; i < group.table.size(); ++i) {
    sum[static_cast<std::size_t>(group.cell[i])] += group.table.y[i];
    count[static_cast<std::size_t>(group.cell[i])] += 1;
  }
  for (std::size_t c = 0; c < sum.size(); ++c) {
    sum[c] /= count[c];
  }
  return sum;
}

}  // namespace

bool has_replicates(const GroupData& group) {
  const auto spare = static_cast<int>(group.table.size()) - group.num_cells -
                     (group.has_trunks ? group.num_trunks - 1 : 0);
  return spare >= 4;
}

double robust_scatter(const GroupData& group) {
  if (!has_replicates(group)) {
    return 0;
  }
  const std::vector<double> average = cell_average(group);
  std::vector<double> count(average.size(), 0.0);
  for (const int cell : group.cell) {
    count[static_cast<std::size_t>(cell)] += 1;
  }
  std::vector<double> deviation;
  for (std::size_t i = 0; i < group.table.size(); ++i) {
    const auto c = static_cast<std::size_t>(group.cell[i]);
    if (count[c] > 1) {
      deviation.push_back(std::abs(group.table.y[i] - average[c]) *
                          std::sqrt(count[c] / (count[c] - 1)));
    }
  }
  const auto middle = deviation.begin() + static_cast<std::ptrdiff_t>(deviation.size() / 2);
  std::nth_element(deviation.begin(), middle, deviation.end());
  return 1.4826 * *middle;  // of a normal distribution
}

Resampling choose_resampling(const GroupData& group) {
  if (!group.has_trunks) {
    return !has_replicates(group) && static_cast<int>(group.table.size()) >= kManyRows
               ? Resampling::kRows
               : Resampling::kParametric;
  }
  return group.num_trunks >= kFewTrunks ? Resampling::kTrunks : Resampling::kParametric;
}

Noise estimate_noise(const GroupData& group, const std::vector<double>& residual, int parameters) {
  Noise noise;
  const auto rows = static_cast<double>(group.table.size());
  const double between_df = group.has_trunks ? group.num_trunks - 1 : 0;
  noise.rows_per_trunk = rows / group.num_trunks;
  noise.from_replicates = has_replicates(group);
  std::vector<double> deviation = residual;
  deviation.resize(group.table.size());
  if (noise.from_replicates) {
    const std::vector<double> average = cell_average(group);
    for (std::size_t i = 0; i < deviation.size(); ++i) {
      deviation[i] = group.table.y[i] - average[static_cast<std::size_t>(group.cell[i])];
    }
  }
  std::vector<double> mean(static_cast<std::size_t>(group.num_trunks), 0.0);
  std::vector<double> count(mean.size(), 0.0);
  if (between_df > 0) {
    for (std::size_t i = 0; i < deviation.size(); ++i) {
      mean[static_cast<std::size_t>(group.trunk[i])] += deviation[i];
      count[static_cast<std::size_t>(group.trunk[i])] += 1;
    }
  }
  double between = 0;
  for (std::size_t t = 0; t < mean.size() && between_df > 0; ++t) {
    mean[t] /= std::max(count[t], 1.0);
    between += count[t] * mean[t] * mean[t];
  }
  double within = 0;
  for (std::size_t i = 0; i < deviation.size(); ++i) {
    const double r = deviation[i] - mean[static_cast<std::size_t>(group.trunk[i])];
    within += r * r;
  }
  const double used = noise.from_replicates ? group.num_cells : parameters;
  noise.df_within = std::max(1.0, rows - used - between_df);
  noise.within = within / noise.df_within;
  noise.df_between = between_df;
  noise.between = between_df > 0 ? between / between_df : 0;
  return noise;
}

double draw_chi_squared(Random& random, double degrees) {
  const double shape = 0.5 * degrees;
  if (shape < 1) {
    const double u = std::max(random.uniform(), 1e-300);
    return draw_chi_squared(random, degrees + 2) * std::pow(u, 1 / shape);
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = random.normal();
    const double v = std::pow(1 + c * x, 3);
    if (v > 0 &&
        std::log(std::max(random.uniform(), 1e-300)) < 0.5 * x * x + d - d * v + d * std::log(v)) {
      return 2 * d * v;
    }
  }
}

Resampler::Resampler(const GroupData& group, Resampling kind, Noise noise,
                     const std::vector<double>& residual)
    : group_(&group), kind_(kind), noise_(noise) {
  const std::vector<double> average = cell_average(group);
  trunk_rows_.resize(static_cast<std::size_t>(group.num_trunks));
  for (std::size_t i = 0; i < group.table.size(); ++i) {
    const double mean = average[static_cast<std::size_t>(group.cell[i])];
    // A cell with one row has no deviation of its own: its residual from the fit stands in.
    base_.push_back(mean);
    const double own = group.table.y[i] - mean;
    deviation_.push_back(group.num_cells == static_cast<int>(group.table.size()) ? residual[i]
                                                                                 : own);
    trunk_rows_[static_cast<std::size_t>(group.trunk[i])].push_back(static_cast<int>(i));
  }
  noise_row_.resize(group.table.size());
  count_.resize(group.table.size());
}

double Resampler::draw(Random& random, LawTable& table) {
  switch (kind_) {
    case Resampling::kRows:
      draw_rows(random, table);
      return 0;
    case Resampling::kTrunks:
      draw_trunks(random, table);
      return 0;
    case Resampling::kParametric:
      return draw_parametric(random, table);
  }
  return 0;
}

void Resampler::draw_rows(Random& random, LawTable& table) {
  std::fill(count_.begin(), count_.end(), 0);
  for (std::size_t i = 0; i < count_.size(); ++i) {
    ++count_[random.below(count_.size())];
  }
  for (std::size_t i = 0; i < count_.size(); ++i) {
    table.weight[i] = group_->table.weight[i] * count_[i];
  }
}

// Trunks drawn with replacement, as deviations from the cell means. Resampling g trunks shrinks the
// variance by (g - 1) / g and knows it with g - 1 degrees of freedom: both are put back.
void Resampler::draw_trunks(Random& random, LawTable& table) {
  const double g = group_->num_trunks;
  const double scale =
      std::sqrt(g / (g - 1)) * std::sqrt((g - 1) / draw_chi_squared(random, g - 1));
  for (const std::vector<int>& rows : trunk_rows_) {
    const std::vector<int>& from = trunk_rows_[random.below(trunk_rows_.size())];
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const auto row = static_cast<std::size_t>(rows[k]);
      // The same cell of the other trunk; where that run is missing, any run of it.
      auto match = std::find_if(from.begin(), from.end(), [&](int other) {
        return group_->cell[static_cast<std::size_t>(other)] == group_->cell[row];
      });
      const int source = match != from.end() ? *match : from[random.below(from.size())];
      table.y[row] = base_[row] - scale * deviation_[static_cast<std::size_t>(source)];
    }
  }
}

// Within a trunk: independent errors less their mean. Between: the trunk's mean error, whose
// variance (sigma_b^2 + sigma_w^2 / rows) is estimated, and here drawn, by itself.
double Resampler::draw_parametric(Random& random, LawTable& table) {
  const double within =
      noise_.within * noise_.df_within / draw_chi_squared(random, noise_.df_within);
  const double between = noise_.df_between > 0 ? noise_.between * noise_.df_between /
                                                     draw_chi_squared(random, noise_.df_between)
                                               : within;
  const double level = std::sqrt(between / noise_.rows_per_trunk);
  double total = 0;
  for (const std::vector<int>& rows : trunk_rows_) {
    double mean = 0;
    for (const int row : rows) {
      noise_row_[static_cast<std::size_t>(row)] = std::sqrt(within) * random.normal();
      mean += noise_row_[static_cast<std::size_t>(row)] / static_cast<double>(rows.size());
    }
    const double drawn = rows.size() > 1 ? level * random.normal() : 0.0;
    const double shift = rows.size() > 1 ? drawn - mean : 0.0;
    total += drawn * static_cast<double>(rows.size());
    for (const int r : rows) {
      const auto row = static_cast<std::size_t>(r);
      table.y[row] = base_[row] + noise_row_[row] + shift;
    }
  }
  return total / static_cast<double>(group_->table.size());
}

}  // namespace finescale
