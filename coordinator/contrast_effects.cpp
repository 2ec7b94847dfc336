// SPDX-License-Identifier: Apache-2.0
#include "coordinator/contrast_effects.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "coordinator/contrast_trials.h"
#include "coordinator/trial_metric.h"

namespace finescale {

namespace {

using BySeed = std::map<std::string, std::vector<double>>;

std::string seed_of(const TrialRow& row) {
  const auto seed = row.axes.find("seed");
  return seed == row.axes.end() ? "" : seed->second;
}

// An effect of each cell, averaged within a seed.
template <class Effect>
std::map<std::string, double> of_cells(const ContrastCells& cells, ContrastEffects& out,
                                       const Effect& effect) {
  BySeed by_seed;
  bool is_matched = !cells.empty();
  for (const auto& [name, cell] : cells) {
    if (cell.of.empty() || cell.to.empty()) {
      is_matched = false;
    } else {
      by_seed[cell.seed].push_back(effect(mean_of(cell.of), mean_of(cell.to)));
    }
  }
  if (!is_matched) {
    out.why_not = "trials of one arm have no match in the other";
  }
  std::map<std::string, double> effects;
  for (const auto& [seed, values] : by_seed) {
    effects[seed] = mean_of(values);
  }
  return effects;
}

class Measure {
 public:
  Measure(const config::Contrast& contrast, const config::Sweep& sweep,
          const std::vector<TrialRow>& rows)
      : contrast_(contrast), sweep_(sweep), trials_(contrast, rows), arms_(arms_of(contrast)) {}

  ContrastEffects run() {
    std::map<std::string, double> effects;
    switch (contrast_.kind_case()) {
      case config::Contrast::kDifference:
      case config::Contrast::kEquivalent:
      case config::Contrast::KIND_NOT_SET:
        effects = difference(trials_);
        break;
      case config::Contrast::kRatio:
        effects =
            of_cells(cells(trials_), out_, [](double of, double to) { return std::log(of / to); });
        break;
      case config::Contrast::kDominates:
        effects = least_advantage();
        break;
      case config::Contrast::kInteraction:
        effects = interaction();
        break;
      case config::Contrast::kDataToReach:
        effects = data_to_reach();
        break;
      case config::Contrast::kSpearman:
        effects = correlation();
        break;
      case config::Contrast::kOptimumAt:
        effects = optimum();
        break;
    }
    for (const auto& [seed, effect] : effects) {
      out_.by_seed.push_back(effect);
    }
    if (missing_ + trials_.num_missing() > 0) {
      out_.why_not = std::to_string(missing_ + trials_.num_missing()) + " trials have no result";
    }
    const bool is_bad = std::any_of(out_.by_seed.begin(), out_.by_seed.end(),
                                    [](double value) { return !std::isfinite(value); });
    if (is_bad) {
      out_.why_not = "a ratio needs values above zero";
      out_.by_seed.clear();
    }
    return std::move(out_);
  }

 private:
  [[nodiscard]] ContrastCells cells(ContrastTrials& trials,
                                    std::set<std::string> unmatched = {}) const {
    return trials.cells(*arms_.of, *arms_.to, std::move(unmatched));
  }

  std::map<std::string, double> difference(ContrastTrials& trials) {
    return of_cells(cells(trials), out_, [](double of, double to) { return of - to; });
  }

  // Of each seed the cell where the first arm is least ahead; ahead is positive.
  std::map<std::string, double> least_advantage() {
    std::map<std::string, double> least;
    const ContrastCells all = cells(trials_);
    (void)of_cells(all, out_, [](double of, double to) { return of - to; });  // that they match
    for (const auto& [name, cell] : all) {
      if (cell.of.empty() || cell.to.empty()) {
        continue;
      }
      const double ahead = cost_of(contrast_.metric(), mean_of(cell.to)) -
                           cost_of(contrast_.metric(), mean_of(cell.of));
      const auto [known, is_new] = least.emplace(cell.seed, ahead);
      known->second = std::min(known->second, ahead);
    }
    return least;
  }

  std::map<std::string, double> interaction() {
    ContrastTrials first = trials_.at(contrast_.interaction().first());
    ContrastTrials second = trials_.at(contrast_.interaction().second());
    const std::map<std::string, double> one = difference(first);
    const std::map<std::string, double> two = difference(second);
    missing_ = first.num_missing() + second.num_missing();
    std::map<std::string, double> effects;
    for (const auto& [seed, value] : one) {
      if (const auto other = two.find(seed); other != two.end()) {
        effects[seed] = value - other->second;
      }
    }
    if (effects.size() != one.size() || one.size() != two.size()) {
      out_.why_not = "seeds of one place have no match in the other";
    }
    return effects;
  }

  // An arm that does not get there counts with its largest budget: it needs more than that. An
  // expectation on the other side is then not met by mistake.
  std::map<std::string, double> data_to_reach() {
    const std::string axis = reach_axis(contrast_, sweep_);
    const double cost = cost_of(contrast_.metric(), contrast_.data_to_reach().value());
    BySeed logs;
    std::map<std::string, std::pair<std::vector<CostPoint>, std::vector<CostPoint>>> curves;
    std::map<std::string, std::string> seeds;
    for (const TrialRow* row : trials_.rows()) {
      const bool is_of = matches(*row, *arms_.of);
      if (!is_of && !matches(*row, *arms_.to)) {
        continue;
      }
      if (const double* value = trials_.metric_of(*row, contrast_.metric())) {
        const std::string name = match_of(*row, axis);
        auto& [of, to] = curves[name];
        (is_of ? of : to).push_back({axis_number(*row, axis), cost_of(contrast_.metric(), *value)});
        seeds[name] = seed_of(*row);
      }
    }
    for (const auto& [name, curve] : curves) {
      const std::optional<double> ratio = needed_ratio(curve.first, curve.second, cost);
      if (!ratio) {
        out_.why_not = "neither arm reaches the value, or trials of one have no match in the other";
        continue;
      }
      logs[seeds[name]].push_back(*ratio);
    }
    std::map<std::string, double> effects;
    for (const auto& [seed, values] : logs) {
      effects[seed] = mean_of(values);
    }
    return effects;
  }

  [[nodiscard]] std::string match_of(const TrialRow& row, const std::string& counted) const {
    std::string name;
    for (const auto& [path, value] : row.axes) {
      const bool differs =
          path == counted || std::any_of(arms_.of->begin(), arms_.of->end(),
                                         [&, p = path](const auto& c) { return c.path() == p; });
      if (!differs) {
        name.append(path).append("=").append(value).append(";");
      }
    }
    return name;
  }

  static std::optional<double> needed_ratio(const std::vector<CostPoint>& of,
                                            const std::vector<CostPoint>& to, double cost) {
    if (of.empty() || to.empty()) {
      return std::nullopt;
    }
    const std::optional<double> first = reached_at(of, cost);
    const std::optional<double> second = reached_at(to, cost);
    if (!first && !second) {
      return std::nullopt;
    }
    const auto largest = [](const std::vector<CostPoint>& curve) {
      return std::max_element(curve.begin(), curve.end(),
                              [](const auto& a, const auto& b) { return a.x < b.x; })
          ->x;
    };
    return std::log(first.value_or(largest(of)) / second.value_or(largest(to)));
  }

  std::map<std::string, double> correlation() {
    struct Pairs {
      std::vector<double> x, y;
    };
    const std::string& with = contrast_.spearman().with();
    const bool is_axis = std::any_of(sweep_.axes().begin(), sweep_.axes().end(),
                                     [&](const config::Axis& axis) { return axis.path() == with; });
    std::map<std::string, Pairs> pairs;
    for (const TrialRow* row : trials_.rows()) {
      const double* const y = trials_.metric_of(*row, contrast_.metric());
      const double* const other = is_axis ? y : trials_.metric_of(*row, with);
      if (y != nullptr && other != nullptr) {
        Pairs& of_seed = pairs[seed_of(*row)];
        of_seed.x.push_back(is_axis ? axis_number(*row, with) : *other);
        of_seed.y.push_back(*y);
      }
    }
    std::map<std::string, double> effects;
    for (const auto& [seed, of_seed] : pairs) {
      effects[seed] = rank_correlation(of_seed.x, of_seed.y);
    }
    return effects;
  }

  std::map<std::string, double> optimum() {
    const std::string& axis = contrast_.optimum_at().axis();
    std::map<std::string, std::map<double, std::vector<double>>> costs;
    for (const TrialRow* row : trials_.rows()) {
      if (const double* value = trials_.metric_of(*row, contrast_.metric())) {
        costs[seed_of(*row)][axis_number(*row, axis)].push_back(
            cost_of(contrast_.metric(), *value));
      }
    }
    std::map<std::string, double> effects;
    for (const auto& [seed, of_seed] : costs) {
      effects[seed] =
          std::min_element(of_seed.begin(), of_seed.end(), [](const auto& a, const auto& b) {
            return mean_of(a.second) < mean_of(b.second);
          })->first;
    }
    return effects;
  }

  const config::Contrast& contrast_;
  const config::Sweep& sweep_;
  ContrastTrials trials_;
  ContrastArms arms_;
  ContrastEffects out_;
  std::size_t missing_ = 0;
};

std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) {
      ++end;
    }
    for (std::size_t i = begin; i < end; ++i) {
      ranks[order[i]] = 0.5 * static_cast<double>(begin + end - 1);
    }
    begin = end;
  }
  return ranks;
}

}  // namespace

double rank_correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const std::vector<double> a = ranks_of(x);
  const std::vector<double> b = ranks_of(y);
  const double middle = 0.5 * (static_cast<double>(a.size()) - 1);
  double both = 0;
  double squares_a = 0;
  double squares_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    both += (a[i] - middle) * (b[i] - middle);
    squares_a += (a[i] - middle) * (a[i] - middle);
    squares_b += (b[i] - middle) * (b[i] - middle);
  }
  return squares_a > 0 && squares_b > 0 ? both / std::sqrt(squares_a * squares_b) : 0;
}

std::optional<double> reached_at(std::vector<CostPoint> curve, double cost) {
  std::sort(curve.begin(), curve.end(),
            [](const CostPoint& a, const CostPoint& b) { return a.x < b.x; });
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (curve[i].cost > cost) {
      continue;
    }
    if (i == 0) {
      return curve[0].x;
    }
    const CostPoint& before = curve[i - 1];
    const double t = (before.cost - cost) / (before.cost - curve[i].cost);
    return std::isfinite(before.cost) ? before.x * std::pow(curve[i].x / before.x, t) : curve[i].x;
  }
  return std::nullopt;
}

ContrastEffects contrast_effects(const config::Contrast& contrast, const config::Sweep& sweep,
                                 const std::vector<TrialRow>& rows) {
  return Measure(contrast, sweep, rows).run();
}

}  // namespace finescale
