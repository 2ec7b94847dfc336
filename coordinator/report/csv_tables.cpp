// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/csv_tables.h"

#include <cstdio>
#include <set>

namespace finescale {

namespace {

std::string exact(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    out += c == '"' ? std::string("\"\"") : std::string(1, c);
  }
  return out + "\"";
}

std::string csv_line(const std::vector<std::string>& cells) {
  std::string out;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    out += (i == 0 ? "" : ",") + csv_field(cells[i]);
  }
  return out + "\n";
}

template <typename Map>
void add_keys(const Map& map, std::set<std::string>& keys) {
  for (const auto& [key, value] : map) {
    keys.insert(key);
  }
}

}  // namespace

std::string trials_csv(const ReportData& data) {
  std::set<std::string> axes;
  std::set<std::string> tuned;
  std::set<std::string> metrics;
  for (const TrialRow& row : data.input->rows) {
    add_keys(row.axes, axes);
    add_keys(row.tuned, tuned);
    add_keys(row.metrics, metrics);
  }
  std::vector<std::string> head = {"trial", "state", "is_tuning", "group"};
  head.insert(head.end(), axes.begin(), axes.end());
  for (const std::string& path : tuned) {
    head.push_back("tuned:" + path);
  }
  head.insert(head.end(), metrics.begin(), metrics.end());
  head.insert(head.end(), {"tokens", "train_flops", "seconds", "why"});
  std::string out = csv_line(head);
  for (const TrialRow& row : data.input->rows) {
    std::vector<std::string> cells = {row.trial, row.state, row.is_tuning ? "1" : "0",
                                      row_group(row, data.input->x)};
    for (const std::string& path : axes) {
      const auto found = row.axes.find(path);
      cells.push_back(found == row.axes.end() ? "" : axis_value_text(found->second));
    }
    for (const std::string& path : tuned) {
      const auto found = row.tuned.find(path);
      cells.push_back(found == row.tuned.end() ? "" : axis_value_text(found->second));
    }
    for (const std::string& name : metrics) {
      const auto found = row.metrics.find(name);
      cells.push_back(found == row.metrics.end() ? "" : exact(found->second));
    }
    cells.push_back(std::to_string(row.tokens));
    cells.push_back(exact(row.train_flops));
    cells.push_back(exact(row.seconds));
    cells.push_back(row.why);
    out += csv_line(cells);
  }
  return out;
}

std::string fits_csv(const ReportData& data) {
  std::string out =
      csv_line({"group", "form", "chosen", "n", "parameter", "value", "low", "high", "level",
                "objective", "rmsd", "held_out_rmsd", "identifiable", "why_not"});
  const Study& study = data.input->study;
  for (const LawFit& fit : study.fits) {
    const auto chosen = study.chosen.find(fit.group);
    for (const auto& [name, value] : fit.parameters) {
      const auto interval = fit.intervals.find(name);
      const bool has = interval != fit.intervals.end();
      out +=
          csv_line({fit.group, fit.form,
                    chosen != study.chosen.end() && chosen->second == fit.form ? "1" : "0",
                    std::to_string(fit.n), name, exact(value),
                    has ? exact(interval->second.low) : "", has ? exact(interval->second.high) : "",
                    exact(study.options.level), exact(fit.objective), exact(fit.rmsd),
                    fit.held_out_rmsd ? exact(*fit.held_out_rmsd) : "",
                    fit.identifiable ? "1" : "0", fit.why_not});
    }
  }
  return out;
}

std::string law_curves_csv(const ReportData& data) {
  std::string out = csv_line({"group", "D", "middle", "low", "high"});
  for (const auto& [group, band] : data.input->study.bands) {
    for (std::size_t i = 0; i < band.D.size(); ++i) {
      out += csv_line({group, exact(band.D[i]), exact(band.middle[i]), exact(band.low[i]),
                       exact(band.high[i])});
    }
  }
  return out;
}

std::string learning_curves_csv(const ReportData& data) {
  std::string out = csv_line({"trial", "step", "tokens", "loss", "lr", "grad_norm"});
  for (const TrialRow& row : data.input->rows) {
    for (const CurvePoint& point : row.curve) {
      out += csv_line({row.trial, std::to_string(point.step), exact(point.tokens),
                       exact(point.loss), exact(point.lr), exact(point.grad_norm)});
    }
  }
  return out;
}

}  // namespace finescale
