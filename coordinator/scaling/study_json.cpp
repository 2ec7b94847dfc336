// SPDX-License-Identifier: Apache-2.0
// `fit --json`. Numbers that are not finite (no upper limit) and parameters that the data do not
// determine are null.
#include <cmath>
#include <nlohmann/json.hpp>

#include "coordinator/scaling/study.h"

namespace finescale {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}
Json number(const std::optional<double>& value) {
  return value ? number(*value) : Json(nullptr);
}
Json pair(const Interval& interval) {
  return Json::array({number(interval.low), number(interval.high)});
}
Json pair(const std::optional<Interval>& interval) {
  return interval ? pair(*interval) : Json(nullptr);
}

Json fit_json(const LawFit& fit) {
  Json parameters = Json::object();
  Json intervals = Json::object();
  for (const auto& [name, value] : fit.parameters) {
    bool known = true;
    for (const std::string& other : fit.not_identified) {
      known = known && other != name;
    }
    parameters[name] = known ? number(value) : Json(nullptr);
  }
  for (const auto& [name, interval] : fit.intervals) {
    intervals[name] = pair(interval);
  }
  return {{"group", fit.group},
          {"form", fit.form},
          {"n", fit.n},
          {"parameters", parameters},
          {"objective", number(fit.objective)},
          {"rmsd", number(fit.rmsd)},
          {"intervals", intervals},
          {"identifiable", fit.identifiable},
          {"why_not", fit.why_not.empty() ? Json(nullptr) : Json(fit.why_not)},
          {"held_out_rmsd", number(fit.held_out_rmsd)},
          {"chosen_share", number(fit.chosen_share)},
          {"misfit_p_value", number(fit.misfit_p_value)},
          {"refused", fit.refused}};
}

Json answer_json(const Answer& answer) {
  return {{"question", answer.question}, {"method", answer.method},
          {"D", number(answer.D)},       {"interval", pair(answer.interval)},
          {"cost", number(answer.cost)}, {"probability_best", number(answer.probability_best)},
          {"loss", number(answer.loss)}, {"loss_interval", pair(answer.loss_interval)},
          {"gain", number(answer.gain)}, {"gain_interval", pair(answer.gain_interval)},
          {"text", answer.text}};
}

}  // namespace

std::string study_json(const Study& study) {
  Json document;
  document["fits"] = Json::array();
  for (const LawFit& fit : study.fits) {
    document["fits"].push_back(fit_json(fit));
  }
  document["chosen"] = Json::object();
  for (const auto& [group, form] : study.chosen) {
    document["chosen"][group] = form;
  }
  document["crossovers"] = Json::array();
  for (const Crossover& c : study.crossovers) {
    document["crossovers"].push_back({{"a", c.a},
                                      {"b", c.b},
                                      {"at", number(c.at)},
                                      {"interval", pair(c.interval)},
                                      {"probability", number(c.probability)}});
  }
  document["answers"] = Json::array();
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
