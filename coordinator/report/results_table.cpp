// SPDX-License-Identifier: Apache-2.0
// Methods x budgets, one table per metric; the report's own metric first, the others folded.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "coordinator/report/html.h"
#include "coordinator/report/tables.h"

namespace finescale {

namespace {

struct Column {
  const ReportGroup* group = nullptr;
  std::map<double, BudgetMean> means;  // by budget
};

// The same number of decimals in the whole table: three digits of the smallest value.
int decimals_for(const std::vector<Column>& columns) {
  double smallest = 1e300;
  for (const Column& column : columns) {
    for (const auto& [x, mean] : column.means) {
      smallest = mean.mean != 0 ? std::min(smallest, std::abs(mean.mean)) : smallest;
    }
  }
  return smallest > 1e299
             ? 3
             : std::clamp(2 - static_cast<int>(std::floor(std::log10(smallest))), 1, 4);
}

std::string cell(const BudgetMean& mean, int decimals, bool is_best) {
  std::string out = typeset_fixed(mean.mean, decimals);
  if (mean.n > 1) {
    out += " <span class=\"muted\">\xC2\xB1 " + typeset_fixed(mean.half_range, decimals) + " (" +
           std::to_string(mean.n) + ")</span>";
  }
  return is_best ? "<b>" + out + "</b>" : out;
}

std::string metric_table(const ReportData& data, const std::string& metric) {
  std::vector<Column> columns;
  std::set<double> budgets;
  for (const ReportGroup& group : data.groups) {
    Column column{&group, {}};
    for (const BudgetMean& mean : budget_means(group_points(*data.input, group.name, metric))) {
      column.means[mean.x] = mean;
      budgets.insert(mean.x);
    }
    columns.push_back(std::move(column));
  }
  if (budgets.empty()) {
    return "";
  }
  const bool lower_is_better = metric.ends_with("loss") || metric.ends_with("perplexity");
  HtmlTable table(html_escape(metric) +
                  (data.max_seeds > 1
                       ? ": mean \xC2\xB1 half the range over seeds (number of seeds)"
                       : ": one run each") +
                  (lower_is_better && columns.size() > 1 ? ". Bold: lowest of its row." : "."));
  table.column(html_escape(data.x_name), true);
  for (const Column& column : columns) {
    table.column(html_escape(column.group->name), true);
  }
  const int decimals = decimals_for(columns);
  for (const double budget : budgets) {
    double lowest = 1e300;
    for (const Column& column : columns) {
      const auto found = column.means.find(budget);
      lowest = found == column.means.end() ? lowest : std::min(lowest, found->second.mean);
    }
    std::vector<std::string> cells = {typeset_count(budget)};
    for (const Column& column : columns) {
      const auto found = column.means.find(budget);
      cells.push_back(found == column.means.end() ? "\xE2\x80\x93"
                                                  : cell(found->second, decimals,
                                                         lower_is_better && columns.size() > 1 &&
                                                             found->second.mean == lowest));
    }
    table.row(std::move(cells));
  }
  return table.html();
}

}  // namespace

std::string results_tables(const ReportData& data) {
  std::string main = metric_table(data, data.input->metric);
  if (main.empty()) {
    main = "<p class=\"missing\">No finished trial has a value of " +
           html_escape(data.input->metric) + ".</p>\n";
  }
  std::set<std::string> others;
  for (const TrialRow& row : data.input->rows) {
    for (const auto& [metric, value] : row.metrics) {
      if (metric != data.input->metric && !row.is_tuning) {
        others.insert(metric);
      }
    }
  }
  std::string folded;
  for (const std::string& metric : others) {
    folded += metric_table(data, metric);
  }
  if (!folded.empty()) {
    main += "<details><summary>Other metrics</summary>\n" + folded + "</details>\n";
  }
  return main;
}

std::string cost_table(const ReportData& data) {
  HtmlTable table("What one trial cost in its own stages: means over seeds.");
  table.column("group").column(html_escape(data.x_name), true).column("tokens", true);
  table.column("training FLOPs", true).column("time", true).column("runs", true);
  for (const ReportGroup& group : data.groups) {
    for (const BudgetMean& mean : group.means) {
      table.row({html_escape(group.name), typeset_count(mean.x), typeset_count(mean.tokens),
                 typeset_number(mean.train_flops, 3), typeset_duration(mean.seconds),
                 std::to_string(mean.n)});
    }
  }
  return table.empty() ? ""
                       : "<details><summary>As a table</summary>\n" + table.html() + "</details>\n";
}

}  // namespace finescale
