// SPDX-License-Identifier: Apache-2.0
// Trials as contrasts compare them: those that count, matched by all axes that do not differ on
// purpose. Pure.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "configs/contrast_rules.h"
#include "coordinator/campaign_reader.h"

namespace finescale {

// Trials that are the same but for the axes that differ on purpose.
struct ContrastCell {
  std::string seed;
  std::vector<double> of, to;
};
using ContrastCells = std::map<std::string, ContrastCell>;  // by the values of the matched axes

class ContrastTrials {
 public:
  // Those at `at` that tune nothing.
  ContrastTrials(const config::Contrast& contrast, const std::vector<TrialRow>& rows);

  [[nodiscard]] const std::vector<const TrialRow*>& rows() const noexcept { return rows_; }
  // The part that is at these choices too.
  [[nodiscard]] ContrastTrials at(const AxisChoices& choices) const;
  // The two arms, each at its best values of best_over, matched by the axes but these.
  [[nodiscard]] ContrastCells cells(const AxisChoices& of, const AxisChoices& to,
                                    std::set<std::string> unmatched);
  // Nothing, and counted, when the trial has no result.
  [[nodiscard]] const double* metric_of(const TrialRow& row, const std::string& metric);
  [[nodiscard]] std::size_t num_missing() const noexcept { return missing_; }

 private:
  [[nodiscard]] std::vector<const TrialRow*> best(std::vector<const TrialRow*> rows) const;
  [[nodiscard]] std::string choice_of(const TrialRow& row) const;

  const config::Contrast* contrast_;
  std::vector<const TrialRow*> rows_;
  std::size_t missing_ = 0;
};

[[nodiscard]] bool matches(const TrialRow& row, const AxisChoices& choices);
[[nodiscard]] double mean_of(const std::vector<double>& values);
// The number that an axis has in this trial.
[[nodiscard]] double axis_number(const TrialRow& row, const std::string& path);

}  // namespace finescale
