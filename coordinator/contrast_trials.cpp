// SPDX-License-Identifier: Apache-2.0
#include "coordinator/contrast_trials.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "coordinator/trial_metric.h"

namespace finescale {

bool matches(const TrialRow& row, const AxisChoices& choices) {
  return std::all_of(choices.begin(), choices.end(), [&](const config::AxisChoice& choice) {
    const auto value = row.axes.find(choice.path());
    return value != row.axes.end() && std::find(choice.values().begin(), choice.values().end(),
                                                value->second) != choice.values().end();
  });
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return sum / static_cast<double>(values.size());
}

double axis_number(const TrialRow& row, const std::string& path) {
  const auto value = row.axes.find(path);
  return value == row.axes.end() ? 0 : std::strtod(value->second.c_str(), nullptr);
}

ContrastTrials::ContrastTrials(const config::Contrast& contrast, const std::vector<TrialRow>& rows)
    : contrast_(&contrast) {
  for (const TrialRow& row : rows) {
    if (!row.is_tuning && matches(row, contrast.at())) {
      rows_.push_back(&row);
    }
  }
}

ContrastTrials ContrastTrials::at(const AxisChoices& choices) const {
  ContrastTrials part = *this;
  part.missing_ = 0;
  std::erase_if(part.rows_, [&](const TrialRow* row) { return !matches(*row, choices); });
  return part;
}

const double* ContrastTrials::metric_of(const TrialRow& row, const std::string& metric) {
  const auto value = row.metrics.find(metric);
  if (row.state != "done" || value == row.metrics.end()) {
    ++missing_;
    return nullptr;
  }
  return &value->second;
}

ContrastCells ContrastTrials::cells(const AxisChoices& of, const AxisChoices& to,
                                    std::set<std::string> unmatched) {
  std::vector<const TrialRow*> first;
  std::vector<const TrialRow*> second;
  for (const TrialRow* row : rows_) {
    if (matches(*row, of)) {
      first.push_back(row);
    } else if (matches(*row, to)) {
      second.push_back(row);
    }
  }
  for (const config::AxisChoice& choice : of) {
    unmatched.insert(choice.path());
  }
  unmatched.insert(contrast_->best_over().begin(), contrast_->best_over().end());
  ContrastCells cells;
  const auto add = [&](const TrialRow& row, std::vector<double> ContrastCell::*arm) {
    const double* const value = metric_of(row, contrast_->metric());
    if (value == nullptr) {
      return;
    }
    std::string name;
    for (const auto& [path, text] : row.axes) {
      if (!unmatched.contains(path)) {
        name.append(path).append("=").append(text).append(";");
      }
    }
    ContrastCell& cell = cells[name];
    const auto seed = row.axes.find("seed");
    cell.seed = seed == row.axes.end() ? "" : seed->second;
    (cell.*arm).push_back(*value);
  };
  for (const TrialRow* row : best(std::move(first))) {
    add(*row, &ContrastCell::of);
  }
  for (const TrialRow* row : best(std::move(second))) {
    add(*row, &ContrastCell::to);
  }
  return cells;
}

// Those at the values of best_over whose mean is best; all when nothing is chosen.
std::vector<const TrialRow*> ContrastTrials::best(std::vector<const TrialRow*> rows) const {
  std::map<std::string, std::vector<double>> costs;  // by the values of best_over
  for (const TrialRow* row : rows) {
    const auto metric = row->metrics.find(contrast_->metric());
    if (row->state == "done" && metric != row->metrics.end()) {
      costs[choice_of(*row)].push_back(cost_of(contrast_->metric(), metric->second));
    }
  }
  const auto least = std::min_element(costs.begin(), costs.end(), [](const auto& a, const auto& b) {
    return mean_of(a.second) < mean_of(b.second);
  });
  if (!contrast_->best_over().empty() && least != costs.end()) {
    std::erase_if(rows, [&](const TrialRow* row) { return choice_of(*row) != least->first; });
  }
  return rows;
}

std::string ContrastTrials::choice_of(const TrialRow& row) const {
  std::string choice;
  for (const std::string& path : contrast_->best_over()) {
    const auto value = row.axes.find(path);
    choice += value == row.axes.end() ? ";" : value->second + ";";
  }
  return choice;
}

}  // namespace finescale
