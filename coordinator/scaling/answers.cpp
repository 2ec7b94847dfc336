// SPDX-License-Identifier: Apache-2.0
// Data to a target, the best use of a budget, the value of the next doubling.
#include <algorithm>
#include <cmath>

#include "coordinator/scaling/study_parts.h"

namespace finescale {
namespace {

std::string level_text(double level) {
  return percent_text(level) + " interval ";
}

std::string range_text(const Interval& interval) {
  if (!std::isfinite(interval.high)) {
    return examples_text(interval.low) + " or more, no upper limit";
  }
  return examples_text(interval.low) + " to " + examples_text(interval.high);
}

// The loss as D grows without end: at a D where the falling part is gone.
double ln_floor(const Curve& curve) {
  return curve_log_loss(curve, 1e60);
}

// Why there is no amount of data: above the floor, too slow within reason, or not measured.
std::string not_reached_text(const GroupStudy& group, const std::string& goal, double ln_target,
                             double floor_share) {
  std::string text = group.data.name + ": " + goal;
  if (!group.has_form) {
    return text + " was not reached within the measured budgets (up to " +
           examples_text(group.data.max_budget()) + " examples), and beyond them nothing is known.";
  }
  const std::string probability =
      group.curves.empty() ? "" : "P(floor > target) = " + percent_text(floor_share);
  const double floor = ln_floor(group.chosen);
  if (floor > ln_target) {
    text += " is not reachable: ";
    text += probability.empty() ? "" : probability + "; ";
    return text + "the fitted floor is " + number_text(std::exp(floor), 4) + ".";
  }
  text += " is not reached within " + examples_text(kFarthest) + " times the largest budget (" +
          examples_text(group.data.max_budget()) + " examples): the fitted curve falls too slowly";
  return text + (probability.empty() ? "." : "; " + probability + ".");
}

std::string reached_text(const GroupStudy& group, const std::string& goal, const Answer& answer,
                         const StudyOptions& options) {
  const double at = *answer.D;
  std::string text = group.data.name + " reaches " + goal + " with ";
  if (!group.has_form && at <= group.data.min_budget()) {
    return text + examples_text(at) + " examples, the smallest amount measured, or fewer.";
  }
  text += "about " + examples_text(at) + " examples";
  if (answer.interval) {
    text += " (" + level_text(options.level) + range_text(*answer.interval) + ")";
  }
  if (!group.has_form) {
    const auto above =
        std::lower_bound(group.data.budgets.begin(), group.data.budgets.end(), at * (1 - 1e-9));
    text += ", by a straight line between the means measured at " + examples_text(*(above - 1)) +
            " and " + examples_text(*above);
  } else if (at > 4 * group.data.max_budget()) {
    text +=
        ", " + examples_text(at / group.data.max_budget()) + " times the most that was measured";
  }
  return text + (answer.cost ? ", at a cost of " + number_text(*answer.cost) + "." : ".");
}

void answer_target(const GroupStudy& group, double target, const StudyOptions& options,
                   double probability_best, Study& study) {
  const double low = group.data.min_budget() / 16;
  const double high = group.data.max_budget() * kFarthest;
  const double ln_target = std::log(target);
  int above = 0;
  for (const Curve& curve : group.curves) {
    above += group.has_form && ln_floor(curve) > ln_target ? 1 : 0;
  }
  const double floor_share =
      group.curves.empty() ? 0
                           : static_cast<double>(above) / static_cast<double>(group.curves.size());
  const double at = data_to_reach(group.chosen, ln_target, low, high);
  Answer answer;
  answer.question = "target";
  answer.method = group.data.name;
  if (!group.curves.empty()) {
    answer.probability_best = probability_best;
    answer.interval = target_interval(group, target, options.level);
  }
  const std::string goal = "a loss of " + number_text(target, 4);
  if (std::isfinite(at)) {
    answer.D = at;
    const double price = cost_per_example(options, group.data.name);
    if (price > 0) {
      answer.cost = price * at;
    }
    answer.text = reached_text(group, goal, answer, options);
    if (floor_share >= 0.05) {
      answer.text += " P(floor > target) = " + percent_text(floor_share) + ".";
    }
  } else {
    if (answer.interval && !std::isfinite(answer.interval->low)) {
      answer.interval.reset();  // no replicate reaches it either
    }
    answer.text = not_reached_text(group, goal, ln_target, floor_share);
  }
  study.answers.push_back(std::move(answer));
}

void answer_targets(const std::vector<GroupStudy>& groups, double target, Study& study) {
  // Which method gets there with the least cost (or data, where costs are unknown).
  const StudyOptions& options = study.options;
  bool priced = true;
  for (const GroupStudy& group : groups) {
    priced = priced && cost_per_example(options, group.data.name) > 0;
  }
  std::vector<double> wins(groups.size(), 0.0);
  std::size_t replicates = groups.empty() ? 0 : groups[0].curves.size();
  for (const GroupStudy& group : groups) {
    replicates = std::min(replicates, group.curves.size());
  }
  for (std::size_t r = 0; r < replicates; ++r) {
    double least = kNever;
    std::size_t winner = groups.size();
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const GroupData& data = groups[g].data;
      const double D = data_to_reach(groups[g].curves[r], std::log(target), data.min_budget() / 16,
                                     data.max_budget() * kFarthest);
      const double price = D * (priced ? cost_per_example(options, data.name) : 1);
      if (price < least) {
        least = price;
        winner = g;
      }
    }
    if (winner < groups.size()) {
      wins[winner] += 1.0 / static_cast<double>(replicates);
    }
  }
  for (std::size_t g = 0; g < groups.size(); ++g) {
    answer_target(groups[g], target, options, wins[g], study);
  }
}

// The most examples that every stated budget allows.
double affordable(const StudyOptions& options, const std::string& group) {
  double D = options.budget_examples.value_or(kNever);
  if (options.budget_money && cost_per_example(options, group) > 0) {
    D = std::min(D, *options.budget_money / cost_per_example(options, group));
  }
  const auto seconds = options.seconds_per_example.find(group);
  if (options.budget_gpu_hours && seconds != options.seconds_per_example.end() &&
      seconds->second > 0) {
    D = std::min(D, *options.budget_gpu_hours * 3600 / seconds->second);
  }
  return D;
}

void answer_budget(const std::vector<GroupStudy>& groups, Study& study) {
  const StudyOptions& options = study.options;
  std::vector<double> allowed;
  std::size_t best = groups.size();
  double least = kNever;
  std::size_t replicates = groups.empty() ? 0 : groups[0].curves.size();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    allowed.push_back(affordable(options, groups[g].data.name));
    replicates = std::min(replicates, groups[g].curves.size());
    if (!std::isfinite(allowed[g])) {
      study.notes.push_back("the budget cannot be answered for " + groups[g].data.name +
                            ": its cost per example is unknown");
      continue;
    }
    if (!groups[g].has_form && allowed[g] > groups[g].data.max_budget()) {
      allowed[g] = groups[g].data.max_budget();
      study.notes.push_back("the budget is answered for " + groups[g].data.name + " at " +
                            examples_text(allowed[g]) +
                            " examples, the most measured: no form fits, so nothing is known "
                            "beyond");
    }
    const double loss = curve_log_loss(groups[g].chosen, std::max(allowed[g], 1.0));
    if (loss < least) {
      least = loss;
      best = g;
    }
  }
  if (best == groups.size()) {
    return;
  }
  double wins = 0;
  std::vector<double> losses;
  for (std::size_t r = 0; r < replicates; ++r) {
    bool first = true;
    const double mine = curve_log_loss(groups[best].curves[r], std::max(allowed[best], 1.0));
    for (std::size_t g = 0; g < groups.size(); ++g) {
      first = first && (g == best || !std::isfinite(allowed[g]) ||
                        curve_log_loss(groups[g].curves[r], std::max(allowed[g], 1.0)) >= mine);
    }
    wins += first ? 1.0 / static_cast<double>(replicates) : 0.0;
    losses.push_back(mine);
  }
  Answer answer;
  answer.question = "budget";
  answer.method = groups[best].data.name;
  answer.D = allowed[best];
  const double price = cost_per_example(options, answer.method);
  if (price > 0) {
    answer.cost = price * allowed[best];
  }
  if (replicates > 0) {
    answer.probability_best = wins;
    const Interval ln_loss = replicate_interval(groups[best], std::move(losses), options.level);
    answer.loss_interval = Interval{std::exp(ln_loss.low), std::exp(ln_loss.high)};
  }
  answer.loss = std::exp(least);
  answer.text = "Under the budget, " + answer.method + " with " + examples_text(allowed[best]) +
                " examples is best: a loss of " + number_text(*answer.loss, 4);
  if (answer.loss_interval) {
    answer.text += " (" + level_text(options.level) + number_text(answer.loss_interval->low, 4) +
                   " to " + number_text(answer.loss_interval->high, 4) + "), best in " +
                   percent_text(wins) + " of the replicates";
  }
  answer.text += ".";
  if (allowed[best] > 4 * groups[best].data.max_budget()) {
    study.notes.push_back("the budget allows " +
                          examples_text(allowed[best] / groups[best].data.max_budget()) +
                          " times the largest amount measured for " + answer.method +
                          ": that far out the form decides, not the data");
  }
  study.answers.push_back(std::move(answer));
}

void answer_doubling(const GroupStudy& group, Study& study) {
  if (!group.has_form) {
    return;  // nothing is known beyond the measured budgets
  }
  const double D = group.data.max_budget();
  const auto gain = [D](const Curve& curve) {
    return -std::expm1(curve_log_loss(curve, 2 * D) - curve_log_loss(curve, D));
  };
  Answer answer;
  answer.question = "next_doubling";
  answer.method = group.data.name;
  answer.D = 2 * D;
  const double middle = gain(group.chosen);
  answer.gain = middle;
  const double price = cost_per_example(study.options, answer.method);
  if (price > 0) {
    answer.cost = price * 2 * D;
  }
  answer.text = answer.method + ": doubling the data from " + examples_text(D) +
                " lowers the loss by " + share_text(middle);
  if (!group.curves.empty()) {
    std::vector<double> gains;
    for (const Curve& curve : group.curves) {
      gains.push_back(gain(curve));
    }
    answer.gain_interval = replicate_interval(group, std::move(gains), study.options.level);
    answer.text += " (" + level_text(study.options.level) + share_text(answer.gain_interval->low) +
                   " to " + share_text(answer.gain_interval->high) + ")";
  }
  answer.text += ".";
  study.answers.push_back(std::move(answer));
}

}  // namespace

double cost_per_example(const StudyOptions& options, const std::string& group) {
  double price = options.cost_per_example;
  const auto seconds = options.seconds_per_example.find(group);
  if (seconds != options.seconds_per_example.end()) {
    price += seconds->second / 3600 * options.cost_per_gpu_hour;
  }
  return price;
}

void answer_questions(const std::vector<GroupStudy>& groups, Study& study) {
  const StudyOptions& options = study.options;
  if (options.target) {
    answer_targets(groups, *options.target, study);
  }
  if (options.budget_money || options.budget_gpu_hours || options.budget_examples) {
    answer_budget(groups, study);
  }
  for (const GroupStudy& group : groups) {
    answer_doubling(group, study);
  }
}

}  // namespace finescale
