// SPDX-License-Identifier: Apache-2.0
#include "coordinator/trial_text.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace finescale {

namespace {

// As JSON. Written by hand: a plan has 100,000s of these, and nearly all need no escapes.
void append_quoted(const std::string& text, std::string& out) {
  const bool is_plain = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c >= 32 && c < 127 && c != '"' && c != '\\';
  });
  if (is_plain) {
    out.append("\"").append(text) += '"';
  } else {
    out += nlohmann::json(text).dump();
  }
}

void append_list(const std::vector<std::string>& texts, std::string& out) {
  char before = '[';
  for (const std::string& text : texts) {
    out += before;
    append_quoted(text, out);
    before = ',';
  }
  out += texts.empty() ? "[]" : "]";
}

void append_object(const std::map<std::string, std::string>& values, std::string& out) {
  char before = '{';
  for (const auto& [name, value] : values) {
    out += before;
    append_quoted(name, out);
    out += ':';
    append_quoted(value, out);
    before = ',';
  }
  out += values.empty() ? "{}" : "}";
}

}  // namespace

std::string trial_text(const PlannedTrial& trial) {
  std::string out = "{\"axes\":";
  append_object(trial.axes, out);
  out += ",\"id\":";
  append_quoted(trial.id, out);
  out += trial.is_tuning ? ",\"is_tuning\":true" : ",\"is_tuning\":false";
  out += ",\"names\":";
  append_list(trial.names, out);
  out += trial.resolved ? ",\"resolved\":true" : ",\"resolved\":false";
  out += ",\"stages\":";
  append_list(trial.stages, out);
  out += ",\"tune_group\":";
  append_quoted(trial.tune_group, out);
  out += ",\"tuned\":";
  append_object(trial.tuned, out);
  return out + "}";
}

PlannedTrial trial_from_text(const std::string& text) try {
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
} catch (const nlohmann::json::exception& error) {
  throw Error(ErrorKind::kCheckpoint,
              std::string("a trial of the store cannot be read: ") + error.what());
}

}  // namespace finescale
