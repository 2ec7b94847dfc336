// SPDX-License-Identifier: Apache-2.0
// The points of one method, arranged for fits and resampling: rows, cells (rows of equal D, N, U:
// the same run with other seeds) and trunks ((method, seed): rows whose errors are correlated).
#pragma once

#include <string>
#include <vector>

#include "coordinator/scaling/law.h"

namespace finescale {

struct GroupData {
  std::string name;
  LawTable table;                // one row per point
  std::vector<int> cell, trunk;  // of each row
  int num_cells = 0;
  int num_trunks = 0;           // rows without a trunk count as their own
  bool has_trunks = false;      // some trunk holds several rows
  std::vector<double> budgets;  // distinct D, ascending
  double N = 0;                 // the largest, at which curves over D are drawn
  bool N_varies = false;
  [[nodiscard]] double min_budget() const { return budgets.front(); }
  [[nodiscard]] double max_budget() const { return budgets.back(); }
};

// Sorted by name. Throws kData for a point with D or loss that is not positive and finite.
[[nodiscard]] std::vector<GroupData> split_groups(const std::vector<LawPoint>& points);

// One row per cell: weighted mean of y, summed weights. Least squares has the same minimiser on it.
[[nodiscard]] LawTable cell_means(const GroupData& group);

}  // namespace finescale
