// SPDX-License-Identifier: Apache-2.0
// `fit --json`. Numbers that are not finite (no upper limit) and parameters that the data do not
// determine are null.
#include <cmath>
#include <nlohmann/json.hpp>

#include "coordinator/scaling/study.h"

namespace finescale {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson json_number(double value) {
  return std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr);
}
OrderedJson json_number(const std::optional<double>& value) {
  return value ? json_number(*value) : OrderedJson(nullptr);
}
OrderedJson pair(const Interval& interval) {
  return OrderedJson::array({json_number(interval.low), json_number(interval.high)});
}
OrderedJson pair(const std::optional<Interval>& interval) {
  return interval ? pair(*interval) : OrderedJson(nullptr);
}

OrderedJson fit_json(const LawFit& fit) {
  OrderedJson parameters = OrderedJson::object();
  OrderedJson intervals = OrderedJson::object();
  for (const auto& [name, value] : fit.parameters) {
    bool known = true;
    for (const std::string& other : fit.not_identified) {
      known = known && other != name;
    }
    parameters[name] = known ? json_number(value) : OrderedJson(nullptr);
  }
  for (const auto& [name, interval] : fit.intervals) {
    intervals[name] = pair(interval);
  }
  return {{"group", fit.group},
          {"form", fit.form},
          {"n", fit.n},
          {"parameters", parameters},
          {"objective", json_number(fit.objective)},
          {"rmsd", json_number(fit.rmsd)},
          {"intervals", intervals},
          {"identifiable", fit.identifiable},
          {"why_not", fit.why_not.empty() ? OrderedJson(nullptr) : OrderedJson(fit.why_not)},
          {"held_out_rmsd", json_number(fit.held_out_rmsd)},
          {"chosen_share", json_number(fit.chosen_share)},
          {"misfit_p_value", json_number(fit.misfit_p_value)},
          {"refused", fit.refused}};
}

OrderedJson answer_json(const Answer& answer) {
  return {{"question", answer.question},
          {"method", answer.method},
          {"D", json_number(answer.D)},
          {"interval", pair(answer.interval)},
          {"cost", json_number(answer.cost)},
          {"probability_best", json_number(answer.probability_best)},
          {"loss", json_number(answer.loss)},
          {"loss_interval", pair(answer.loss_interval)},
          {"gain", json_number(answer.gain)},
          {"gain_interval", pair(answer.gain_interval)},
          {"text", answer.text}};
}

}  // namespace

std::string study_json(const Study& study) {
  OrderedJson document;
  document["fits"] = OrderedJson::array();
  for (const LawFit& fit : study.fits) {
    document["fits"].push_back(fit_json(fit));
  }
  document["chosen"] = OrderedJson::object();
  for (const auto& [group, form] : study.chosen) {
    document["chosen"][group] = form;
  }
  document["crossovers"] = OrderedJson::array();
  for (const Crossover& c : study.crossovers) {
    document["crossovers"].push_back({{"a", c.a},
                                      {"b", c.b},
                                      {"at", json_number(c.at)},
                                      {"interval", pair(c.interval)},
                                      {"probability", json_number(c.probability)}});
  }
  document["answers"] = OrderedJson::array();
  for (const Answer& answer : study.answers) {
    document["answers"].push_back(answer_json(answer));
  }
  document["recommendation"] = study.recommendation;
  document["notes"] = study.notes;
  document["loss"] = study.options.least_squares ? "least_squares" : "huber";
  document["level"] = study.options.level;
  document["bootstrap"] = study.options.bootstrap;
  return document.dump(2);
}

}  // namespace finescale
