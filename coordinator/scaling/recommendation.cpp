// SPDX-License-Identifier: Apache-2.0
// The study in a few plain sentences, and how numbers are written in them.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "coordinator/scaling/study_parts.h"

namespace finescale {
namespace {

// The method with the lowest loss at twice the largest common budget, and how sure that is.
std::string best_method(const std::vector<GroupStudy>& groups) {
  double D = kNever;
  std::size_t replicates = groups[0].curves.size();
  for (const GroupStudy& group : groups) {
    D = std::min(D, group.data.max_budget());
    replicates = std::min(replicates, group.curves.size());
  }
  std::size_t best = 0;
  for (std::size_t g = 1; g < groups.size(); ++g) {
    best = curve_log_loss(groups[g].chosen, D) < curve_log_loss(groups[best].chosen, D) ? g : best;
  }
  double wins = 0;
  for (std::size_t r = 0; r < replicates; ++r) {
    bool first = true;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      first = first && (g == best || curve_log_loss(groups[g].curves[r], D) >=
                                         curve_log_loss(groups[best].curves[r], D));
    }
    wins += first ? 1.0 / static_cast<double>(replicates) : 0.0;
  }
  if (replicates > 0 && wins < 0.8) {
    return "At " + examples_text(D) + " examples no method is clearly best (" +
           groups[best].data.name + " in " + percent_text(wins) + " of the replicates).";
  }
  return "At " + examples_text(D) + " examples " + groups[best].data.name + " is best" +
         (replicates > 0 ? " (in " + percent_text(wins) + " of the replicates)." : ".");
}

std::string misfit_sentence(const GroupStudy& group) {
  const auto least =
      std::min_element(group.fits.misfit.begin(), group.fits.misfit.end(),
                       [](const LackOfFit& a, const LackOfFit& b) { return a.rms < b.rms; });
  const auto form = static_cast<std::size_t>(least - group.fits.misfit.begin());
  const double cells = static_cast<double>(group.data.table.size()) / group.data.num_cells;
  return "No form of law fits " + group.data.name + ": the best, " + group.laws[form]->name() +
         ", misses the measured means by " + share_text(std::expm1(least->rms)) +
         " where seeds explain " + share_text(std::sqrt(group.noise.within / cells)) +
         ", so answers for it join the measured means by straight lines and say nothing beyond " +
         examples_text(group.data.max_budget()) + " examples.";
}

// How the form taken forecast the held-out budgets, beside the law that everybody draws first.
struct Forecast {
  std::string text;  // "full (rectified: 5% against 12%)"
  bool is_better = false;
};

// Nothing when the form taken is that law, or when either cannot be said.
std::optional<Forecast> forecast_of(const GroupStudy& group) {
  const auto plain = std::find_if(group.laws.begin(), group.laws.end(),
                                  [](const Law* law) { return law->name() == "power"; });
  if (!group.has_form || plain == group.laws.end()) {
    return std::nullopt;
  }
  const auto chosen = static_cast<std::size_t>(group.fits.chosen);
  const double error = group.fits.held_out[chosen];
  const double plain_error =
      group.fits.held_out[static_cast<std::size_t>(plain - group.laws.begin())];
  if (*plain == group.laws[chosen] || !std::isfinite(error) || !std::isfinite(plain_error)) {
    return std::nullopt;
  }
  return Forecast{group.data.name + " (" + group.laws[chosen]->name() + ": " +
                      share_text(std::expm1(error)) + " against " +
                      share_text(std::expm1(plain_error)) + ")",
                  error < plain_error};
}

// One sentence for all forms that forecast better, one for those that did worse.
void add_forecasts(const std::vector<GroupStudy>& groups, std::vector<std::string>& sentences) {
  std::string better;
  std::string worse;
  double reach = kNever;
  for (const GroupStudy& group : groups) {
    if (const std::optional<Forecast> forecast = forecast_of(group)) {
      std::string& list = forecast->is_better ? better : worse;
      list.append(list.empty() ? "" : ", ").append(forecast->text);
      reach = forecast->is_better ? reach : std::min(reach, group.data.max_budget());
    }
  }
  if (!better.empty()) {
    sentences.push_back(
        "The forms taken forecast the largest budgets, which were hidden from them, better "
        "than plain power laws: " +
        better + ".");
  }
  if (!worse.empty()) {
    sentences.push_back(
        "Caution: forms that fit what was measured forecast the largest budgets worse than "
        "plain power laws: " +
        worse + "; do not lean on what they say beyond " + examples_text(reach) + " examples.");
  }
}

}  // namespace

std::string share_text(double fraction) {
  return std::abs(fraction) < 0.1 ? number_text(100 * fraction, 2) + "%"
                                  : std::to_string(std::llround(100 * fraction)) + "%";
}

std::string number_text(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

std::string percent_text(double share) {
  if (share > 0 && share < 0.01) {
    return "under 1%";
  }
  if (share < 1 && share > 0.99) {
    return "over 99%";
  }
  return number_text(std::round(100 * share), 3) + "%";
}

std::string examples_text(double D) {
  if (!std::isfinite(D)) {
    return "any number of";
  }
  if (D < 100) {
    return number_text(D, 2);
  }
  // Two digits below a factor of ten of precision, three in all: 12345 -> 12,300.
  const double unit = std::pow(10, std::floor(std::log10(D)) - 2);
  std::string digits = std::to_string(std::llround(std::round(D / unit) * unit));
  for (std::size_t at = digits.size(); at > 3; at -= 3) {
    digits.insert(at - 3, ",");
  }
  return digits;
}

std::string recommend(const std::vector<GroupStudy>& groups, const Study& study) {
  std::vector<std::string> sentences;
  for (const Crossover& c : study.crossovers) {
    std::string text = c.a + " is better below about " + examples_text(c.at) + " examples (" +
                       percent_text(study.options.level) + " interval ";
    if (c.interval.low > 0 && std::isfinite(c.interval.high)) {
      text += examples_text(c.interval.low) + " to " + examples_text(c.interval.high);
    } else if (std::isfinite(c.interval.high)) {
      text += "below " + examples_text(c.interval.high);
    } else {
      text += "above " + examples_text(c.interval.low);
    }
    sentences.push_back(text + "), " + c.b + " above.");
  }
  if (groups.size() > 1) {
    sentences.push_back(best_method(groups));
  }
  std::string best;
  double least = kNever;
  for (const GroupStudy& group : groups) {
    const double loss = curve_log_loss(group.chosen, group.data.max_budget());
    if (loss < least) {
      least = loss;
      best = group.data.name;
    }
  }
  for (const Answer& answer : study.answers) {
    if (answer.question != "next_doubling") {
      sentences.push_back(answer.text);
    } else if (answer.method == best) {
      std::string text = "Doubling the data from here buys " + share_text(*answer.gain);
      if (answer.gain_interval) {
        text += " (" + percent_text(study.options.level) + " interval " +
                share_text(answer.gain_interval->low) + " to " +
                share_text(answer.gain_interval->high) + ")";
      }
      text += groups.size() > 1 ? " with " + best + "." : ".";
      sentences.push_back(std::move(text));
    }
  }
  for (const GroupStudy& group : groups) {  // what to doubt comes after the answers
    if (!group.has_form) {
      sentences.push_back(misfit_sentence(group));
    }
  }
  add_forecasts(groups, sentences);
  std::string all;
  for (const std::string& sentence : sentences) {
    if (!sentence.empty()) {
      all.append(all.empty() ? "" : " ").append(sentence);
    }
  }
  return all;
}

}  // namespace finescale
