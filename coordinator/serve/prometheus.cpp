// SPDX-License-Identifier: Apache-2.0
#include "coordinator/serve/prometheus.h"

#include <initializer_list>
#include <utility>

#include <nlohmann/json.hpp>

namespace finescale {

namespace {

using Json = nlohmann::json;
using Labels = std::initializer_list<std::pair<const char*, std::string>>;

std::string label_value(const std::string& value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += c;
  }
  return out + "\"";
}

class Metrics {
 public:
  void begin(const std::string& name, const char* help) {
    name_ = "finescale_" + name;
    text_ += "# HELP " + name_ + " " + help + "\n# TYPE " + name_ + " gauge\n";
  }
  // Nothing for what is not known (null).
  void add(const Json& value, Labels labels) {
    if (!value.is_number()) {
      return;
    }
    text_ += name_;
    const char* before = "{";
    for (const auto& [label, word] : labels) {
      text_ += before + std::string(label) + "=" + label_value(word);
      before = ",";
    }
    text_ += (labels.size() > 0 ? "} " : " ") + value.dump() + "\n";
  }
  [[nodiscard]] std::string text() && { return std::move(text_); }

 private:
  std::string name_;
  std::string text_;
};

void add_gangs(Metrics& out, const Json& gangs, const std::string& campaign) {
  static constexpr std::pair<const char*, std::pair<const char*, const char*>> kGauges[] = {
      {"ranks", {"gang_ranks", "Ranks of a gang."}},
      {"step", {"gang_step", "Step that a gang's stage has reached."}},
      {"steps", {"gang_steps", "Steps of a gang's stage."}},
      {"loss", {"gang_loss", "Last training loss of a gang, nats a token."}},
      {"tokens_per_second", {"gang_tokens_per_second", "Training rate of a gang."}},
      {"heartbeat_age_s", {"gang_heartbeat_age_seconds", "Since a gang was last heard of."}}};
  for (const auto& [key, gauge] : kGauges) {
    out.begin(gauge.first, gauge.second);
    for (const Json& gang : gangs) {
      out.add(gang.value(key, Json()), {{"campaign", campaign},
                                        {"gang", std::to_string(gang.value("id", 0))},
                                        {"host", gang.value("host", "")}});
    }
  }
  out.begin("gang_running", "1 while a gang executes a stage.");
  for (const Json& gang : gangs) {
    out.add(gang.value("state", "") == "running" ? 1 : 0,
            {{"campaign", campaign},
             {"gang", std::to_string(gang.value("id", 0))},
             {"host", gang.value("host", "")}});
  }
}

}  // namespace

std::string prometheus_text(const std::string& status) {
  const Json s = Json::parse(status);
  const std::string campaign = s.value("campaign", "");
  Metrics out;
  out.begin("campaign_state", "1 for the state that the campaign is in.");
  out.add(1, {{"campaign", campaign}, {"state", s.value("state", "unknown")}});
  for (const char* kind : {"trials", "stages"}) {
    out.begin(kind, kind == std::string("trials") ? "Trials by state; planned is all of them."
                                                  : "Stages by state; planned is all of them.");
    const Json counts = s.value(kind, Json::object());
    for (const auto& [state, count] : counts.items()) {
      out.add(count, {{"campaign", campaign}, {"state", state}});
    }
  }
  const std::pair<const char*, std::pair<const char*, const char*>> gauges[] = {
      {"tokens_per_second", {"tokens_per_second", "Training rate of all gangs."}},
      {"eta_s", {"eta_seconds", "Time left, as estimated."}},
      {"elapsed_s", {"elapsed_seconds", "Since this coordinator started."}}};
  for (const auto& [key, gauge] : gauges) {
    out.begin(gauge.first, gauge.second);
    out.add(s.value(key, Json()), {{"campaign", campaign}});
  }
  add_gangs(out, s.value("gangs", Json::array()), campaign);
  return std::move(out).text();
}

}  // namespace finescale
