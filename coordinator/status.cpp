// SPDX-License-Identifier: Apache-2.0
#include "coordinator/status.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "core/files.h"

namespace finescale {

using Json = nlohmann::json;

std::string trial_state(const PlannedTrial& trial, bool stopped, const StageEntries& stages) {
  if (!trial.resolved) {
    return stopped ? "stopped" : "pending";
  }
  bool all_done = true;
  bool running = false;
  bool any_stopped = stopped;
  for (const std::string& key : trial.stages) {
    const StageEntry* stage = stages.find(key);
    const StageState state = stage == nullptr ? StageState::kPending : stage->stored.state;
    if (state == StageState::kFailed) {
      return "failed";
    }
    all_done = all_done && state == StageState::kDone;
    running = running || state == StageState::kRunning;
    any_stopped = any_stopped || state == StageState::kStopped;
  }
  return all_done ? "done" : any_stopped ? "stopped" : running ? "running" : "pending";
}

std::string planned_state(const PlannedTrial& trial, bool stopped, const StageEntries& stages,
                          const std::set<std::string>& lost_groups) {
  if (!trial.resolved && !stopped && lost_groups.contains(trial.tune_group)) {
    return "failed";
  }
  return trial_state(trial, stopped, stages);
}

double published_wall_seconds(const std::string& directory) {
  try {
    const Json status = Json::parse(read_file(directory + "/status.json"));
    return status.value("wall_s", status.value("elapsed_s", 0.0));
  } catch (const std::exception&) {  // there is none yet
    return 0;
  }
}

std::string status_json(const StatusInput& in) {
  Json trials = {{"planned", in.trials->size()},
                 {"pending", 0},
                 {"running", 0},
                 {"done", 0},
                 {"failed", 0},
                 {"stopped", 0}};
  for (const PlannedTrial& trial : *in.trials) {
    const bool stopped = std::find(in.stopped_trials->begin(), in.stopped_trials->end(),
                                   trial.id) != in.stopped_trials->end();
    Json& count = trials[planned_state(trial, stopped, in.reactor->stages(), in.lost_groups)];
    count = count.get<int>() + 1;
  }
  Json stages = {{"planned", in.reactor->stages().size()},
                 {"pending", 0},
                 {"running", 0},
                 {"done", 0},
                 {"failed", 0},
                 {"stopped", 0}};
  for (const StageEntry& stage : in.reactor->stages()) {
    Json& count = stages[stage_state_name(stage.stored.state)];
    count = count.get<int>() + 1;
  }
  Json gangs = Json::array();
  double rate = 0;
  for (const auto& [id, gang] : in.reactor->gangs()) {
    if (gang.state == GangState::kLost) {
      continue;
    }
    static constexpr const char* kNames[] = {"launching", "idle", "running", "lost"};
    Json entry = {{"id", id},
                  {"state", gang.is_queued ? "queued" : kNames[static_cast<int>(gang.state)]},
                  {"ranks", gang.ranks},
                  {"host", gang.host},
                  {"stage", ""},
                  {"trial", ""},
                  {"step", 0},
                  {"steps", 0},
                  {"loss", nullptr},
                  {"tokens_per_second", 0.0},
                  {"heartbeat_age_s", std::max(0.0, in.now - gang.last_seen)}};
    const StageEntry* stage = in.reactor->stages().find(gang.key);
    if (gang.state == GangState::kRunning && stage != nullptr) {
      const proto::Progress& p = stage->progress;
      entry["stage"] = stage->stored.label;
      entry["trial"] = stage->trial;
      entry["step"] = p.step();
      entry["steps"] = p.steps();
      entry["loss"] = p.loss();
      entry["tokens_per_second"] = p.tokens_per_second();
      rate += p.tokens_per_second();
    }
    gangs.push_back(std::move(entry));
  }
  const double to_do = in.total_work - in.work_before;  // of this run
  const double share = to_do > 0 ? (in.done_work - in.work_before) / to_do : 0;
  const Json eta =
      in.state == "running" && share > 0.02 ? Json(in.elapsed_s * (1 - share) / share) : Json();
  return Json{{"campaign", in.campaign},
              {"state", in.state},
              {"trials", trials},
              {"stages", stages},
              {"gangs", gangs},
              {"tokens_per_second", rate},
              {"eta_s", eta},
              {"elapsed_s", in.elapsed_s},
              {"wall_s", in.earlier_s + in.elapsed_s}}
      .dump(1);
}

namespace {

std::string duration(const Json& seconds) {
  if (!seconds.is_number()) {
    return "?";
  }
  const long total = std::lround(seconds.get<double>());
  char text[64];
  if (total >= 3600) {
    std::snprintf(text, sizeof text, "%ldh%02ldm", total / 3600, total / 60 % 60);
  } else {
    std::snprintf(text, sizeof text, "%ldm%02lds", total / 60, total % 60);
  }
  return text;
}

std::string gang_text(const Json& gang) {
  char text[256];
  if (gang["state"] != "running") {
    std::snprintf(text, sizeof text, "gang %d %s", gang["id"].get<int>(),
                  gang["state"].get<std::string>().c_str());
  } else {
    std::snprintf(text, sizeof text, "gang %d %s %s %d/%d loss %.4f %.0f tok/s",
                  gang["id"].get<int>(), gang["trial"].get<std::string>().c_str(),
                  gang["stage"].get<std::string>().c_str(), gang["step"].get<int>(),
                  gang["steps"].get<int>(),
                  gang["loss"].is_number() ? gang["loss"].get<double>() : 0.0,
                  gang["tokens_per_second"].get<double>());
  }
  return text;
}

}  // namespace

std::string status_line(const std::string& json) {
  const Json s = Json::parse(json);
  const Json& t = s["trials"];
  std::string line = "trials " + std::to_string(t["done"].get<int>()) + "/" +
                     std::to_string(t["planned"].get<int>()) + " done";
  if (t["failed"] > 0) {
    line += ", " + std::to_string(t["failed"].get<int>()) + " failed";
  }
  line += ", stages " + std::to_string(s["stages"]["done"].get<int>()) + "/" +
          std::to_string(s["stages"]["planned"].get<int>()) + ", " + duration(s["elapsed_s"]) +
          ", left " + duration(s["eta_s"]);
  for (const Json& gang : s["gangs"]) {
    line += " | " + gang_text(gang);
  }
  return line;
}

std::string status_text(const std::string& json) {
  const Json s = Json::parse(json);
  std::string out =
      "campaign " + s["campaign"].get<std::string>() + ": " + s["state"].get<std::string>() + "\n";
  for (const char* kind : {"trials", "stages"}) {
    out += std::string(kind) + ":";
    for (const char* state : {"planned", "pending", "running", "done", "failed", "stopped"}) {
      out += std::string(" ") + state + " " + std::to_string(s[kind][state].get<int>());
    }
    out += "\n";
  }
  for (const Json& gang : s["gangs"]) {
    out += gang_text(gang) + "\n";
  }
  out += "elapsed " + duration(s["elapsed_s"]);
  return out + (s["state"] == "running" ? ", left " + duration(s["eta_s"]) : "") + "\n";
}

}  // namespace finescale
