// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/tables.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "coordinator/report/figures.h"
#include "coordinator/report/svg.h"

namespace finescale {

namespace {

class Table {
 public:
  explicit Table(const std::string& caption) : html_("<div class=\"scroll\"><table><caption>" + caption + "</caption>\n") {}
  Table& head(const std::vector<std::pair<std::string, bool>>& cells) {  // words, numeric
    html_ += "<thead><tr>";
    for (const auto& [words, numeric] : cells) {
      html_ += std::string(numeric ? "<th class=\"n\">" : "<th>") + escape_html(words) + "</th>";
      numeric_.push_back(numeric);
    }
    html_ += "</tr></thead>\n";
    return *this;
  }
  void row(const std::vector<std::string>& cells) {
    html_ += "<tr>";
    for (std::size_t i = 0; i < cells.size(); ++i) {
      html_ += std::string(i < numeric_.size() && numeric_[i] ? "<td class=\"n\">" : "<td>") + escape_html(cells[i]) + "</td>";
    }
    html_ += "</tr>\n";
  }
  [[nodiscard]] std::string finish() const { return html_ + "</table></div>\n"; }

 private:
  std::string html_;
  std::vector<bool> numeric_;
};

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    out += c == '"' ? "\"\"" : std::string(1, c);
  }
  return out + "\"";
}

std::string interval_text(const Interval& interval) { return significant(interval.low) + " to " + significant(interval.high); }

struct Cell {
  std::vector<double> losses;
  std::vector<double> exact;
  double flops = 0;
  double seconds = 0;
};

std::string spread(const std::vector<double>& values) {
  if (values.empty()) {
    return "";
  }
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  std::string text = fixed(sum / static_cast<double>(values.size()), 4);
  if (values.size() > 1) {
    text += " ± " + fixed((*high - *low) / 2, 4);
  }
  return text;
}

}  // namespace

std::string results_html(const ReportInput& input) {
  const std::vector<Dot> dots = dots_of(input);
  if (dots.empty()) {
    return "<p>No trial is done yet.</p>\n";
  }
  const std::string set = input.metric.substr(0, input.metric.find('.'));
  std::map<std::pair<int, double>, Cell> cells;
  const std::vector<std::string> groups = groups_of(dots);
  bool any_exact = false;
  for (const Dot& dot : dots) {
    const int g = static_cast<int>(std::find(groups.begin(), groups.end(), dot.group) - groups.begin());
    Cell& cell = cells[{g, dot.x}];
    cell.losses.push_back(dot.loss);
    if (const auto exact = dot.row->metrics.find(set + ".exact_match"); exact != dot.row->metrics.end()) {
      cell.exact.push_back(exact->second);
      any_exact = true;
    }
    cell.flops += dot.row->train_flops;
    cell.seconds += dot.row->seconds;
  }
  Table table("Table 1. Results: mean over seeds ± half their range; FLOPs and seconds are means of a run.");
  std::vector<std::pair<std::string, bool>> head = {{"method", false}, {"examples", true}, {input.metric, true}};
  if (any_exact) {
    head.emplace_back(set + ".exact_match", true);
  }
  head.insert(head.end(), {{"seeds", true}, {"FLOPs", true}, {"seconds", true}});
  table.head(head);
  for (const auto& [at, cell] : cells) {
    const auto n = static_cast<double>(cell.losses.size());
    std::vector<std::string> row = {groups[static_cast<std::size_t>(at.first)], significant(at.second, 7), spread(cell.losses)};
    if (any_exact) {
      row.push_back(spread(cell.exact));
    }
    row.insert(row.end(), {std::to_string(cell.losses.size()), with_unit(cell.flops / n), significant(cell.seconds / n)});
    table.row(row);
  }
  return table.finish();
}

std::string laws_html(const ReportInput& input) {
  if (input.study.fits.empty()) {
    return "";
  }
  Table table("Table 2. Fitted laws. RMSD is of ln L; held-out: the largest budgets predicted from the smaller ones. The chosen form is starred.");
  table.head({{"method", false}, {"form", false}, {"parameters (interval)", false}, {"RMSD", true}, {"held-out", true}, {"identified", false}});
  for (const LawFit& fit : input.study.fits) {
    const auto chosen = input.study.chosen.find(fit.group);
    const bool star = chosen != input.study.chosen.end() && chosen->second == fit.form;
    std::string parameters;
    for (const auto& [name, value] : fit.parameters) {
      const auto interval = fit.intervals.find(name);
      parameters += (parameters.empty() ? "" : ", ") + name + " ";
      // A parameter that is not identified has bounds, no point.
      if (fit.identifiable || interval == fit.intervals.end()) {
        parameters += significant(value);
      }
      if (interval != fit.intervals.end()) {
        parameters += " (" + interval_text(interval->second) + ")";
      }
    }
    table.row({fit.group, fit.form + (star ? " *" : ""), parameters, fixed(fit.rmsd, 4), fit.held_out_rmsd ? fixed(*fit.held_out_rmsd, 4) : "",
               fit.identifiable ? "yes" : "no: " + fit.why_not});
  }
  return table.finish();
}

std::string answers_html(const ReportInput& input) {
  if (input.study.answers.empty()) {
    return "";
  }
  std::string out = "<ul>\n";
  for (const Answer& answer : input.study.answers) {
    out += "<li>" + escape_html(answer.text) + "</li>\n";
  }
  return out + "</ul>\n";
}

std::string samples_html(const ReportInput& input) {
  // The best run of each method, prompt by prompt.
  std::map<std::string, const Dot*> best;
  const std::vector<Dot> dots = dots_of(input);
  for (const Dot& dot : dots) {
    const Dot*& held = best[dot.group];
    if (!dot.row->samples.empty() && (held == nullptr || dot.loss < held->loss)) {
      held = &dot;
    }
  }
  std::erase_if(best, [](const auto& item) { return item.second == nullptr; });
  if (best.empty()) {
    return "";
  }
  Table table("Table 3. Greedy answers of the best run of each method to the first held-out prompts.");
  std::vector<std::pair<std::string, bool>> head = {{"prompt", false}, {"expected", false}};
  for (const auto& [group, dot] : best) {
    head.emplace_back(group + ", " + significant(dot->x), false);
  }
  table.head(head);
  const std::vector<AnswerSample>& first = best.begin()->second->row->samples;
  for (std::size_t i = 0; i < first.size(); ++i) {
    std::vector<std::string> row = {first[i].prompt, first[i].expected};
    for (const auto& [group, dot] : best) {
      const std::string answer = i < dot->row->samples.size() ? dot->row->samples[i].answer : "";
      row.push_back(answer + (answer == first[i].expected ? " ✓" : ""));
    }
    table.row(row);
  }
  return table.finish();
}

std::string problems_html(const ReportInput& input) {
  std::string out;
  std::set<std::string> seen;
  for (const TrialRow& row : input.rows) {
    if (!row.why.empty()) {
      out += "<li class=\"warn\">" + escape_html(row.trial + " " + row.state + ": " + row.why) + "</li>\n";
    }
    for (const std::string& warning : row.warnings) {
      if (seen.insert(warning).second) {
        out += "<li>" + escape_html(warning) + "</li>\n";
      }
    }
  }
  for (const std::string& note : input.study.notes) {
    out += "<li>" + escape_html(note) + "</li>\n";
  }
  return out.empty() ? "" : "<h2>Notes and warnings</h2>\n<ul>\n" + out + "</ul>\n";
}

std::string making_html(const ReportInput& input) {
  const CampaignInfo& c = input.campaign;
  std::size_t done = 0;
  std::size_t tuning = 0;
  for (const TrialRow& row : input.rows) {
    done += static_cast<std::size_t>(row.state == "done");
    tuning += static_cast<std::size_t>(row.is_tuning);
  }
  std::string out = "<p>" + std::to_string(input.rows.size()) + " trials planned, " + std::to_string(done) + " done, " + std::to_string(tuning) +
                    " of them tuning trials. Stages: " + std::to_string(c.stages) + " executed where " + std::to_string(c.stages_unshared) +
                    " would run without sharing. Useful training FLOPs: " + with_unit(c.train_flops) + " executed, " + with_unit(c.train_flops_unshared) +
                    " without sharing. Tokens trained on: " + with_unit(static_cast<double>(c.train_tokens)) + ".</p>\n<p>Machine: " +
                    escape_html(c.machine.empty() ? "unknown" : c.machine) + ". finescale " + escape_html(c.version) + ". Started " + escape_html(c.started) +
                    ", wall time of the last run " + fixed(c.wall_seconds, 0) + " s.</p>\n";
  for (const TrialRow& row : c.base_rows) {
    out += "<p>Base: pretrained once on " + with_unit(static_cast<double>(row.tokens)) + " tokens in " + fixed(row.seconds, 0) + " s, last loss " +
           (row.curve.empty() ? "?" : significant(row.curve.back().loss, 4)) + ".</p>\n";
  }
  return out + "<details><summary>The sweep, as it was run</summary><pre>" + escape_html(c.sweep_text) + "</pre></details>\n";
}

std::string results_table_csv(const ReportInput& input) {
  std::string out = "trial,state,group,data_budget,tuning,metric,value,tokens,train_flops,seconds\n";
  std::map<const TrialRow*, Dot> by_row;
  for (Dot& dot : dots_of(input)) {
    by_row[dot.row] = dot;
  }
  for (const TrialRow& row : input.rows) {
    const auto dot = by_row.find(&row);
    for (const auto& [metric, value] : row.metrics) {
      out += csv_cell(row.trial) + "," + row.state + "," + csv_cell(dot == by_row.end() ? "" : dot->second.group) + "," +
             (dot == by_row.end() ? "" : significant(dot->second.x, 12)) + "," + (row.is_tuning ? "1" : "0") + "," + csv_cell(metric) + "," +
             significant(value, 17) + "," + std::to_string(row.tokens) + "," + significant(row.train_flops, 12) + "," + significant(row.seconds, 6) + "\n";
    }
  }
  return out;
}

std::string fits_csv(const ReportInput& input) {
  std::string out = "group,form,chosen,parameter,value,low,high,objective,rmsd,held_out_rmsd,identifiable\n";
  for (const LawFit& fit : input.study.fits) {
    const auto chosen = input.study.chosen.find(fit.group);
    for (const auto& [name, value] : fit.parameters) {
      const auto interval = fit.intervals.find(name);
      const bool has = interval != fit.intervals.end();
      out += csv_cell(fit.group) + "," + fit.form + "," + (chosen != input.study.chosen.end() && chosen->second == fit.form ? "1" : "0") + "," + name + "," +
             significant(value, 12) + "," + (has ? significant(interval->second.low, 8) : "") + "," + (has ? significant(interval->second.high, 8) : "") +
             "," + significant(fit.objective, 10) + "," + significant(fit.rmsd, 8) + "," + (fit.held_out_rmsd ? significant(*fit.held_out_rmsd, 8) : "") + "," +
             (fit.identifiable ? "1" : "0") + "\n";
    }
  }
  return out;
}

std::string curves_csv(const ReportInput& input) {
  std::string out = "trial,step,tokens,loss,lr,grad_norm\n";
  for (const TrialRow& row : input.rows) {
    for (const CurvePoint& p : row.curve) {
      out += csv_cell(row.trial) + "," + std::to_string(p.step) + "," + significant(p.tokens, 12) + "," + significant(p.loss, 9) + "," + significant(p.lr, 6) + "," +
             significant(p.grad_norm, 6) + "\n";
    }
  }
  return out;
}

}  // namespace finescale
