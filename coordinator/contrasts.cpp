// SPDX-License-Identifier: Apache-2.0
#include "coordinator/contrasts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <spdlog/fmt/fmt.h>
#include <nlohmann/json.hpp>

#include "configs/contrast_rules.h"
#include "coordinator/trial_metric.h"

namespace finescale {

namespace {

using Choices = google::protobuf::RepeatedPtrField<config::AxisChoice>;

bool matches(const TrialRow& row, const Choices& choices) {
  return std::all_of(choices.begin(), choices.end(), [&](const config::AxisChoice& choice) {
    const auto value = row.axes.find(choice.path());
    return value != row.axes.end() && std::find(choice.values().begin(), choice.values().end(),
                                                value->second) != choice.values().end();
  });
}

std::string text_of(const Choices& choices) {
  std::string text;
  for (const config::AxisChoice& choice : choices) {
    std::string values;
    for (const std::string& value : choice.values()) {
      values += (values.empty() ? "" : " or ") + short_value(value);
    }
    text += (text.empty() ? "" : ", ") + choice.path() + " " + values;
  }
  return text;
}

// Trials that are the same but for the arms' axes.
struct Cell {
  std::string seed;
  std::vector<double> of, to;
};

class Effects {
 public:
  Effects(const config::Contrast& contrast, const std::vector<TrialRow>& rows)
      : contrast_(contrast), arms_(arms_of(contrast)) {
    std::vector<const TrialRow*> of;
    std::vector<const TrialRow*> to;
    for (const TrialRow& row : rows) {
      if (row.is_tuning || !matches(row, contrast.at())) {
        continue;
      }
      if (matches(row, arms_.of())) {
        of.push_back(&row);
      } else if (matches(row, arms_.to())) {
        to.push_back(&row);
      }
    }
    for (const TrialRow* row : best(std::move(of))) {
      add(*row, &Cell::of);
    }
    for (const TrialRow* row : best(std::move(to))) {
      add(*row, &Cell::to);
    }
  }

  [[nodiscard]] ContrastData data() const {
    ContrastData out;
    out.name = contrast_.name();
    out.what = contrast_.metric() + " of " + text_of(arms_.of()) +
               (contrast_.has_ratio() ? " over " : " against ") + text_of(arms_.to());
    out.what += contrast_.at().empty() ? "" : ", at " + text_of(contrast_.at());
    for (const std::string& path : contrast_.best_over()) {
      out.what += ", each at its best " + path;
    }
    out.is_ratio = contrast_.has_ratio();
    out.is_equivalence = contrast_.has_equivalent();
    const Expectation expected = *parse_expectation(contrast_.expect());
    out.expects_more = expected.more;
    out.bound = out.is_equivalence ? contrast_.margin() : expected.bound;
    out.level = contrast_.level();
    std::map<std::string, std::vector<double>> by_seed;
    std::size_t unmatched = 0;
    for (const auto& [name, cell] : cells_) {
      if (cell.of.empty() || cell.to.empty()) {
        ++unmatched;
      } else {
        by_seed[cell.seed].push_back(effect(mean(cell.of), mean(cell.to)));
      }
    }
    for (const auto& [seed, effects] : by_seed) {
      out.effects.push_back(mean(effects));
    }
    if (missing_ > 0 || unmatched > 0 || cells_.empty()) {
      out.why_not = missing_ > 0 ? std::to_string(missing_) + " trials have no result"
                                 : "trials of one arm have no match in the other";
    }
    const bool is_bad = std::any_of(out.effects.begin(), out.effects.end(),
                                    [](double value) { return !std::isfinite(value); });
    if (is_bad) {
      out.why_not = "a ratio needs values above zero";
      out.effects.clear();
    }
    return out;
  }

 private:
  static double mean(const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) {
      sum += value;
    }
    return sum / static_cast<double>(values.size());
  }

  [[nodiscard]] double effect(double of, double to) const {
    return contrast_.has_ratio() ? std::log(of / to) : of - to;
  }

  // Those at the values of best_over whose mean is best; all when nothing is chosen.
  [[nodiscard]] std::vector<const TrialRow*> best(std::vector<const TrialRow*> rows) const {
    std::map<std::string, std::vector<double>> costs;  // by the values of best_over
    for (const TrialRow* row : rows) {
      const auto metric = row->metrics.find(contrast_.metric());
      if (row->state == "done" && metric != row->metrics.end()) {
        costs[choice_of(*row)].push_back(cost_of(contrast_.metric(), metric->second));
      }
    }
    const auto least = std::min_element(
        costs.begin(), costs.end(),
        [](const auto& a, const auto& b) { return mean(a.second) < mean(b.second); });
    if (!contrast_.best_over().empty() && least != costs.end()) {
      std::erase_if(rows, [&](const TrialRow* row) { return choice_of(*row) != least->first; });
    }
    return rows;
  }

  [[nodiscard]] std::string choice_of(const TrialRow& row) const {
    std::string choice;
    for (const std::string& path : contrast_.best_over()) {
      const auto value = row.axes.find(path);
      choice += value == row.axes.end() ? ";" : value->second + ";";
    }
    return choice;
  }

  [[nodiscard]] bool is_matched(const std::string& path) const {
    const auto of_arms = [&](const config::AxisChoice& choice) { return choice.path() == path; };
    return std::none_of(arms_.of().begin(), arms_.of().end(), of_arms) &&
           std::find(contrast_.best_over().begin(), contrast_.best_over().end(), path) ==
               contrast_.best_over().end();
  }

  void add(const TrialRow& row, std::vector<double> Cell::*arm) {
    const auto metric = row.metrics.find(contrast_.metric());
    if (row.state != "done" || metric == row.metrics.end()) {
      ++missing_;
      return;
    }
    std::string name;
    std::string seed;
    for (const auto& [path, value] : row.axes) {
      if (is_matched(path)) {
        name.append(path).append("=").append(value).append(";");
      }
      seed = path == "seed" ? value : seed;
    }
    Cell& cell = cells_[name];
    cell.seed = seed;
    (cell.*arm).push_back(metric->second);
  }

  const config::Contrast& contrast_;
  const config::Arms& arms_;
  std::map<std::string, Cell> cells_;
  std::size_t missing_ = 0;
};

}  // namespace

std::vector<ContrastResult> decide_contrasts(const config::Sweep& sweep,
                                             const std::vector<TrialRow>& rows) {
  std::vector<ContrastData> data;
  for (const config::Contrast& contrast : sweep.contrasts()) {
    data.push_back(Effects(contrast, rows).data());
  }
  return decide(data);
}

std::string contrasts_text(const config::Sweep& sweep, const std::vector<ContrastResult>& results) {
  std::string text;
  if (sweep.has_study()) {
    text += fmt::format("{}. {}\nclaim: {}\n", sweep.study().number(), sweep.study().title(),
                        sweep.study().claim());
  }
  for (const ContrastResult& r : results) {
    text += fmt::format("  {}: {}\n    {}\n    expected {}, found {:.4g} [{:.4g}, {:.4g}] at {:g}%",
                        r.data.name, decision_name(r.decision), r.data.what, rule_text(r.data),
                        r.effect, r.low, r.high, 100 * r.data.level);
    text += fmt::format(", d = {:.2g}, {} seeds, p = {:.2g}{}\n", r.effect_size,
                        r.data.effects.size(), r.p, r.why.empty() ? "" : " (" + r.why + ")");
  }
  if (sweep.has_study()) {
    text += fmt::format("verdict: {}\n", decision_name(overall(results)));
  }
  return text;
}

std::string contrasts_json(const config::Sweep& sweep, const std::vector<ContrastResult>& results) {
  nlohmann::json list = nlohmann::json::array();
  for (const ContrastResult& r : results) {
    list.push_back({{"name", r.data.name},
                    {"what", r.data.what},
                    {"expect", rule_text(r.data)},
                    {"effect", r.effect},
                    {"interval", {r.low, r.high}},
                    {"level", r.data.level},
                    {"effect_size", r.effect_size},
                    {"seeds", r.data.effects.size()},
                    {"p", r.p},
                    {"decision", decision_name(r.decision)},
                    {"why", r.why}});
  }
  nlohmann::json answer = {{"contrasts", list}};
  if (sweep.has_study()) {
    answer["study"] = {{"number", sweep.study().number()},
                       {"title", sweep.study().title()},
                       {"claim", sweep.study().claim()},
                       {"verdict", decision_name(overall(results))}};
  }
  return answer.dump(1);
}

}  // namespace finescale
