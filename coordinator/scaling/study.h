// SPDX-License-Identifier: Apache-2.0
// From points to answers: fits per group, the form chosen, intervals, crossovers, answers,
// recommendation. The document of `fit --json`, and what the report draws.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/scaling/law.h"

namespace finescale {

struct Interval {
  double low = 0;
  double high = 0;
};
struct StudyOptions {
  std::vector<std::string> forms = {"power", "power_offset", "rectified"};
  bool least_squares = false;
  int bootstrap = 500;
  unsigned long long seed = 1;
  double level = 0.8;
  std::optional<double> target;
  double cost_per_example = 0;
  double cost_per_gpu_hour = 0;
  std::optional<double> budget_money;
  std::optional<double> budget_gpu_hours;
  std::optional<double> budget_examples;
  // Device seconds per example of a group, for costs; absent groups cost nothing.
  std::map<std::string, double> seconds_per_example;
};
struct LawFit {
  std::string group;
  std::string form;
  int n = 0;
  std::map<std::string, double> parameters;
  std::vector<double> theta;  // internal
  double objective = 0;
  double rmsd = 0;  // of ln L
  std::map<std::string, Interval> intervals;
  bool identifiable = true;
  std::string why_not;
  std::vector<std::string> not_identified;  // their values are bounds: see intervals
  std::optional<double> held_out_rmsd;      // of ln L, over the 1, 2, 3 largest budgets
  double chosen_share = 0;                  // of the replicates that chose this form
  // Of the F test of the cell means against the form, where runs are replicated.
  std::optional<double> misfit_p_value;
  bool refused = false;  // it misses the means by more than seeds differ: not to be chosen
};
struct Crossover {
  std::string a, b;  // a is better below `at`, b above
  double at = 0;
  Interval interval;
  double probability = 0;  // share of replicates that have it
};
struct Answer {
  std::string question;  // target | budget | next_doubling
  std::string method;
  std::optional<double> D;
  std::optional<Interval> interval;
  std::optional<double> cost;
  std::optional<double> probability_best;
  std::optional<double> loss;  // predicted there (budget)
  std::optional<Interval> loss_interval;
  std::optional<double> gain;  // relative decrease of the loss (next_doubling)
  std::optional<Interval> gain_interval;
  std::string text;  // one sentence
};
struct Band {  // of the chosen form, for drawing: same length vectors
  std::vector<double> D, middle, low, high;
};
struct HeldOut {  // prediction of the largest budgets from the smaller ones, chosen form against
                  // power
  double D = 0, measured = 0, predicted = 0, power_predicted = 0;
};
// In place of a form where none fits: straight lines between the measured means, nothing beyond.
inline constexpr const char* kInterpolation = "interpolation";
struct Study {
  std::vector<LawFit> fits;                   // every group x form
  std::map<std::string, std::string> chosen;  // group -> form, or kInterpolation
  std::vector<Crossover> crossovers;
  std::vector<Answer> answers;
  std::map<std::string, Band> bands;  // group -> band of the chosen form
  std::map<std::string, std::vector<HeldOut>> held_out;
  std::vector<std::string> notes;  // warnings, e.g. few trunks: parametric bootstrap used
  std::string recommendation;      // plain words, a few sentences
  StudyOptions options;
};

// Throws kData when a group has too few points, saying which and how many are needed.
[[nodiscard]] Study run_study(const std::vector<LawPoint>& points, const StudyOptions& options);
[[nodiscard]] std::string study_json(const Study& study);  // CLI.md, fit --json

}  // namespace finescale
