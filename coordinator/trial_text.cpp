// SPDX-License-Identifier: Apache-2.0
#include "coordinator/trial_text.h"

#include <nlohmann/json.hpp>

namespace finescale {

std::string trial_text(const PlannedTrial& trial) {
  return nlohmann::json{
      {"id", trial.id},         {"is_tuning", trial.is_tuning}, {"tune_group", trial.tune_group},
      {"axes", trial.axes},     {"tuned", trial.tuned},         {"resolved", trial.resolved},
      {"stages", trial.stages}, {"names", trial.names}}
      .dump();
}

PlannedTrial trial_from_text(const std::string& text) {
  const nlohmann::json document = nlohmann::json::parse(text);
  PlannedTrial trial;
  document.at("id").get_to(trial.id);
  document.at("is_tuning").get_to(trial.is_tuning);
  document.at("tune_group").get_to(trial.tune_group);
  document.at("axes").get_to(trial.axes);
  document.at("tuned").get_to(trial.tuned);
  document.at("resolved").get_to(trial.resolved);
  document.at("stages").get_to(trial.stages);
  document.at("names").get_to(trial.names);
  return trial;
}

}  // namespace finescale
