// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/groups.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "coordinator/report/svg.h"

namespace finescale {

namespace {

constexpr int kNumColours = 7;  // s0..s6 of the style sheet

bool is_x(const std::string& path, const std::string& x) {
  return path == x || path.ends_with("." + x);
}

std::string spaced(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

bool is_done(const TrialRow& row) {
  return row.state == "done" && !row.is_tuning;
}

std::optional<double> number_in(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end != text.c_str() && *end == '\0' && std::isfinite(value) ? std::optional(value)
                                                                     : std::nullopt;
}

// Numbers in seeds sort as numbers.
bool seed_less(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

void set_titles(ReportData& data) {
  const std::string& metric = data.input->metric;
  const std::size_t dot = metric.rfind('.');
  const std::string set = dot == std::string::npos ? "" : metric.substr(0, dot);
  const std::string what = spaced(dot == std::string::npos ? metric : metric.substr(dot + 1));
  data.metric_name = (what.empty() ? "metric" : what) + (set.empty() ? "" : " on " + set);
  data.metric_title = data.metric_name + (what == "loss" ? " (nats per response token)" : "");
  if (data.input->x == "data_budget") {
    data.x_name = "data budget";
    data.x_title = "data budget D (examples)";
  } else {
    data.x_name = spaced(data.input->x);
    data.x_title = data.x_name;
  }
}

}  // namespace

namespace {

// The brace that closes the one at `open`; text in quotes is passed over.
std::size_t closing_brace(const std::string& value, std::size_t open) {
  int depth = 0;
  bool is_quoted = false;
  for (std::size_t i = open; i < value.size(); ++i) {
    if (value[i] == '\\' && is_quoted) {
      ++i;
    } else if (value[i] == '"') {
      is_quoted = !is_quoted;
    } else if (!is_quoted) {
      depth += value[i] == '{' ? 1 : value[i] == '}' ? -1 : 0;
      if (depth == 0) {
        return i;
      }
    }
  }
  return std::string::npos;
}

// Braces that say nothing: not in a list, and nothing but others' ends follows them.
std::vector<bool> idle_braces(const std::string& value) {
  std::vector<bool> idle(value.size(), false);
  int lists = 0;
  bool is_quoted = false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\\' && is_quoted) {
      ++i;
    } else if (value[i] == '"') {
      is_quoted = !is_quoted;
    } else if (!is_quoted) {
      lists += value[i] == '[' ? 1 : value[i] == ']' ? -1 : 0;
      const std::size_t end =
          value[i] == '{' && lists == 0 ? closing_brace(value, i) : std::string::npos;
      if (end != std::string::npos && value.find_first_not_of("} ", end + 1) == std::string::npos) {
        idle[i] = idle[end] = true;
      }
    }
  }
  return idle;
}

}  // namespace

std::string axis_value_text(const std::string& value) {
  const std::vector<bool> idle = idle_braces(value);
  std::string out;
  bool is_quoted = false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == '"') {
      is_quoted = !is_quoted;
    } else if (is_quoted) {  // a text of the user's
      i += c == '\\' && i + 1 < value.size() ? 1 : 0;
      out += value[i];
    } else if (idle[i] || c == ':' || c == ' ') {
      out += out.empty() || out.back() == ' ' || out.back() == '{' ? "" : " ";
    } else {
      if (c == '}' && !out.empty() && out.back() == ' ') {
        out.pop_back();
      }
      out += c;
    }
  }
  while (!out.empty() && out.back() == ' ') {
    out.pop_back();
  }
  return out;
}

std::string row_group(const TrialRow& row, const std::string& x) {
  std::string group;
  for (const auto& [path, value] : row.axes) {
    if (path != "seed" && !is_x(path, x)) {
      group += (group.empty() ? "" : ", ") + axis_value_text(value);
    }
  }
  return group.empty() ? "all" : group;
}

std::optional<double> row_x(const TrialRow& row, const std::string& x) {
  for (const auto& [path, value] : row.axes) {
    if (is_x(path, x)) {
      return number_in(value);
    }
  }
  return std::nullopt;
}

std::vector<GroupPoint> group_points(const ReportInput& input, const std::string& group,
                                     const std::string& metric) {
  std::vector<GroupPoint> points;
  for (const TrialRow& row : input.rows) {
    const auto value = row.metrics.find(metric);
    const std::optional<double> x = row_x(row, input.x);
    if (!is_done(row) || value == row.metrics.end() || !std::isfinite(value->second) || !x ||
        *x <= 0 || row_group(row, input.x) != group) {
      continue;
    }
    const auto seed = row.axes.find("seed");
    points.push_back({*x, value->second, seed == row.axes.end() ? "" : seed->second, &row});
  }
  std::stable_sort(points.begin(), points.end(), [](const GroupPoint& a, const GroupPoint& b) {
    return a.x != b.x ? a.x < b.x : seed_less(a.seed, b.seed);
  });
  return points;
}

std::vector<BudgetMean> budget_means(const std::vector<GroupPoint>& points) {
  std::vector<BudgetMean> means;
  for (std::size_t i = 0; i < points.size();) {
    BudgetMean mean;
    mean.x = points[i].x;
    double low = points[i].value;
    double high = low;
    for (; i < points.size() && points[i].x == mean.x; ++i) {
      ++mean.n;
      mean.mean += points[i].value;
      mean.tokens += static_cast<double>(points[i].row->tokens);
      mean.train_flops += points[i].row->train_flops;
      mean.seconds += points[i].row->seconds;
      low = std::min(low, points[i].value);
      high = std::max(high, points[i].value);
    }
    mean.mean /= mean.n;
    mean.tokens /= mean.n;
    mean.train_flops /= mean.n;
    mean.seconds /= mean.n;
    mean.half_range = (high - low) / 2;
    means.push_back(mean);
  }
  return means;
}

std::string ReportGroup::css_class() const {
  return "s" + std::to_string(style % kNumColours) + " d" + std::to_string(style % 5);
}

int ReportGroup::shape() const {
  return style % kNumMarkerShapes;
}

const ReportGroup* ReportData::find_group(const std::string& name) const {
  const auto found = std::find_if(groups.begin(), groups.end(),
                                  [&](const ReportGroup& group) { return group.name == name; });
  return found == groups.end() ? nullptr : &*found;
}

const LawFit* ReportData::chosen_fit(const std::string& group) const {
  const auto form = input->study.chosen.find(group);
  if (form == input->study.chosen.end()) {
    return nullptr;
  }
  for (const LawFit& fit : input->study.fits) {
    if (fit.group == group && fit.form == form->second) {
      return &fit;
    }
  }
  return nullptr;
}

ReportData make_report_data(const ReportInput& input) {
  ReportData data;
  data.input = &input;
  set_titles(data);
  const auto add_group = [&](const std::string& name) {
    if (data.find_group(name) == nullptr) {
      ReportGroup group;
      group.name = name;
      group.style = static_cast<int>(data.groups.size());
      group.points = group_points(input, name, input.metric);
      group.means = budget_means(group.points);
      data.groups.push_back(std::move(group));
    }
  };
  for (const TrialRow& row : input.rows) {
    if (row.is_tuning) {
      ++data.num_tuning;
      continue;
    }
    ++data.states[row.state];
    add_group(row_group(row, input.x));
  }
  for (const auto& [name, form] : input.study.chosen) {
    add_group(name);
  }
  for (const ReportGroup& group : data.groups) {
    for (const BudgetMean& mean : group.means) {
      data.max_seeds = std::max(data.max_seeds, mean.n);
    }
  }
  for (const TrialRow& row : input.campaign.base_rows) {
    const auto value = row.metrics.find(input.metric);
    if (value != row.metrics.end() && std::isfinite(value->second)) {
      data.base_value = value->second;
    }
  }
  return data;
}

}  // namespace finescale
