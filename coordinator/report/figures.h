// SPDX-License-Identifier: Apache-2.0
// The pictures of the report. Each returns a <figure>, or nothing when there is nothing to draw.
#pragma once

#include <string>
#include <vector>

#include "coordinator/report/report.h"

namespace finescale {

// A trial as the pictures need it.
struct Dot {
  const TrialRow* row = nullptr;
  std::string group;   // method and other axes but x and seed
  double x = 0;
  double loss = 0;
};
[[nodiscard]] std::vector<Dot> dots_of(const ReportInput& input);
[[nodiscard]] std::vector<std::string> groups_of(const std::vector<Dot>& dots);

[[nodiscard]] std::string budget_figure(const ReportInput& input);     // loss against data budget, laws, crossover
[[nodiscard]] std::string curves_figure(const ReportInput& input);     // training loss against tokens
[[nodiscard]] std::string cost_figure(const ReportInput& input);       // FLOPs and seconds against loss, frontier
[[nodiscard]] std::string tuning_figure(const ReportInput& input);     // loss against the tuned value

}  // namespace finescale
