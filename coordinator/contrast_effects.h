// SPDX-License-Identifier: Apache-2.0
// What a contrast measures, one number for each seed. A kind is one function. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/campaign_reader.h"

namespace finescale {

struct ContrastEffects {
  std::vector<double> by_seed;  // of ratios the logarithms
  std::string why_not;          // why they decide nothing; empty: they do
};
[[nodiscard]] ContrastEffects contrast_effects(const config::Contrast& contrast,
                                               const config::Sweep& sweep,
                                               const std::vector<TrialRow>& rows);

// Spearman's rank correlation, equal values by their mean rank; 0 where one of them does not vary.
[[nodiscard]] double rank_correlation(const std::vector<double>& x, const std::vector<double>& y);

// Where a curve of (x, cost) points first falls to `cost`, on lines between points in ln x; beyond
// the last point: nothing. Points need not be sorted.
struct CostPoint {
  double x = 0;
  double cost = 0;
};
[[nodiscard]] std::optional<double> reached_at(std::vector<CostPoint> curve, double cost);

}  // namespace finescale
