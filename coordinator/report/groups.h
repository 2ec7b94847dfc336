// SPDX-License-Identifier: Apache-2.0
// The rows of a campaign, sorted as the report shows them: groups (methods), budgets, seeds.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/report/report.h"

namespace finescale {

struct GroupPoint {
  double x = 0;
  double value = 0;  // of the report's metric
  std::string seed;  // empty: the sweep has no seed axis
  const TrialRow* row = nullptr;
};
struct BudgetMean {
  double x = 0;
  double mean = 0, half_range = 0;
  int n = 0;
  double tokens = 0, train_flops = 0, seconds = 0;  // means per trial
};
struct ReportGroup {
  std::string name;                // as in Study
  int style = 0;                   // colour, marker and dash
  std::vector<GroupPoint> points;  // done trials, by x then seed
  std::vector<BudgetMean> means;   // by x

  [[nodiscard]] std::string css_class() const;  // colour and dash
  [[nodiscard]] int shape() const;
};
struct ReportData {
  const ReportInput* input = nullptr;
  std::vector<ReportGroup> groups;  // in order of first appearance
  std::map<std::string, int> states;
  int num_tuning = 0;
  int max_seeds = 0;                  // most trials of one group and budget
  std::optional<double> base_value;   // of the metric, of the untouched base
  std::string metric_title, x_title;  // axis titles with units
  std::string metric_name, x_name;    // in running text

  [[nodiscard]] const ReportGroup* find_group(const std::string& name) const;
  [[nodiscard]] const LawFit* chosen_fit(const std::string& group) const;
};

// Keeps pointers into the input.
[[nodiscard]] ReportData make_report_data(const ReportInput& input);

// Name of the group of a row: its axis values without x and seed, joined by commas; "all" when
// nothing is left. The same rule names the groups of a Study.
[[nodiscard]] std::string row_group(const TrialRow& row, const std::string& x);
[[nodiscard]] std::optional<double> row_x(const TrialRow& row, const std::string& x);
// "{lora: {rank: 8}}" -> "lora rank 8".
[[nodiscard]] std::string axis_value_text(const std::string& value);
[[nodiscard]] std::vector<BudgetMean> budget_means(const std::vector<GroupPoint>& points);
// Done, not tuning, with this metric and an x above 0; by x then seed.
[[nodiscard]] std::vector<GroupPoint> group_points(const ReportInput& input,
                                                   const std::string& group,
                                                   const std::string& metric);

}  // namespace finescale
