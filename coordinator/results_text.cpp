// SPDX-License-Identifier: Apache-2.0
#include "coordinator/results_text.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <vector>

#include <nlohmann/json.hpp>

namespace finescale {

using Json = nlohmann::json;

std::string results_json(const Campaign& campaign, bool canonical) {
  Json rows = Json::array();
  for (const TrialRow& row : campaign.rows) {
    Json entry = {{"trial", row.trial},        {"state", row.state},
                  {"axes", row.axes},          {"metrics", row.metrics},
                  {"tokens", row.tokens},      {"train_flops", row.train_flops},
                  {"artifacts", row.artifacts}};
    if (!row.tuned.empty()) {
      entry["tuned"] = row.tuned;
    }
    if (!row.why.empty() && !canonical) {
      entry["why"] = row.why;
    }
    if (!canonical) {
      entry["seconds"] = row.seconds;
    } else {
      Json losses = Json::array();
      for (const CurvePoint& point : row.curve) {
        losses.push_back(point.loss);
      }
      entry["losses"] = losses;
    }
    rows.push_back(std::move(entry));
  }
  return rows.dump(1);
}

namespace {

struct Columns {
  std::vector<std::string> axes, metrics;
};

Columns columns_of(const Campaign& campaign) {
  std::set<std::string> axes;
  std::set<std::string> metrics;
  for (const TrialRow& row : campaign.rows) {
    for (const auto& [path, value] : row.axes) {
      axes.insert(path);
    }
    for (const auto& [path, value] : row.tuned) {
      axes.insert(path);
    }
    for (const auto& [name, value] : row.metrics) {
      metrics.insert(name);
    }
  }
  return {{axes.begin(), axes.end()}, {metrics.begin(), metrics.end()}};
}

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::vector<std::vector<std::string>> cells(const Campaign& campaign, bool exact) {
  const Columns columns = columns_of(campaign);
  std::vector<std::vector<std::string>> table;
  std::vector<std::string> head = {"trial", "state"};
  head.insert(head.end(), columns.axes.begin(), columns.axes.end());
  head.insert(head.end(), columns.metrics.begin(), columns.metrics.end());
  head.insert(head.end(), {"tokens", "train_flops", "seconds"});
  table.push_back(head);
  for (const TrialRow& row : campaign.rows) {
    std::vector<std::string> line = {row.trial, row.state};
    for (const std::string& axis : columns.axes) {
      const auto found = row.axes.find(axis);
      const auto tuned = row.tuned.find(axis);
      line.push_back(found != row.axes.end()    ? short_value(found->second)
                     : tuned != row.tuned.end() ? short_value(tuned->second)
                                                : "");
    }
    for (const std::string& metric : columns.metrics) {
      const auto found = row.metrics.find(metric);
      char text[40] = "";
      if (found != row.metrics.end()) {
        std::snprintf(text, sizeof text, exact ? "%.17g" : "%.5g", found->second);
      }
      line.emplace_back(text);
    }
    line.push_back(std::to_string(row.tokens));
    line.push_back(number(row.train_flops));
    line.push_back(number(row.seconds));
    table.push_back(std::move(line));
  }
  return table;
}

}  // namespace

std::string results_csv(const Campaign& campaign) {
  std::string out;
  for (const auto& line : cells(campaign, true)) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      const bool quote = line[i].find_first_of(",\"\n") != std::string::npos;
      out += (i > 0 ? "," : "") + (quote ? "\"" + line[i] + "\"" : line[i]);
    }
    out += "\n";
  }
  return out;
}

std::string results_table(const Campaign& campaign) {
  const auto table = cells(campaign, false);
  std::vector<std::size_t> widths(table.front().size());
  for (const auto& line : table) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      widths[i] = std::max(widths[i], line[i].size());
    }
  }
  std::string out;
  for (const auto& line : table) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      out += line[i] + std::string(widths[i] - line[i].size() + 2, ' ');
    }
    while (out.back() == ' ') {
      out.pop_back();
    }
    out += "\n";
  }
  for (const TrialRow& row : campaign.rows) {
    if (!row.why.empty()) {
      out += row.trial + ": " + row.why + "\n";
    }
  }
  return out;
}

}  // namespace finescale
