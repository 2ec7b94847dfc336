// SPDX-License-Identifier: Apache-2.0
#include "coordinator/kept_trials.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "configs/parse.h"
#include "core/error.h"

namespace finescale {

namespace {

constexpr const char* kHint =
    "put back what changed, or choose another output (--set output=DIR); nothing was changed";

using Values = std::map<std::string, std::string>;  // path -> value

std::string described(const Values& values) {
  std::string text;
  for (const auto& [path, value] : values) {
    text.append(text.empty() ? "" : ", ").append(path).append("=").append(value);
  }
  return text.empty() ? "no axes" : text;
}

// A tuning trial is also known by the value that it tries; what another one takes over is a result.
std::string identity(const PlannedTrial& trial, const Values& axes) {
  std::string text = trial.is_tuning ? "tuning " : "";
  text += described(axes);
  return trial.is_tuning ? text + " trying " + described(trial.tuned) : text;
}

const char* prefix_of(const PlannedTrial& trial) {
  return trial.is_tuning ? "tune-" : "t";
}

long number_of(const PlannedTrial& trial) {
  const std::size_t digits = trial.id.find_first_of("0123456789");
  return digits == std::string::npos ? 0 : std::strtol(trial.id.c_str() + digits, nullptr, 10);
}

// Axes that came after the stored trials were planned -> the value their field had without them.
Values new_axes(const std::vector<PlannedTrial>& stored, const config::Sweep& sweep) {
  std::set<std::string> known;
  for (const PlannedTrial& trial : stored) {
    for (const auto& [path, value] : trial.axes) {
      known.insert(path);
    }
  }
  Values added;
  for (const config::Axis& axis : sweep.axes()) {
    if (!known.contains(axis.path())) {
      added.emplace(axis.path(), field_text(sweep, axis.path()));
    }
  }
  return added;
}

std::string planned_identity(const PlannedTrial& trial, const Values& added) {
  Values axes = trial.axes;
  for (const auto& [path, value] : added) {
    if (const auto found = axes.find(path); found != axes.end() && found->second == value) {
      axes.erase(found);
    }
  }
  return identity(trial, axes);
}

[[noreturn]] void refuse_loss(const PlannedTrial& trial, std::size_t others, const Values& added,
                              const std::string& directory) {
  std::string hint = kHint;
  if (!added.empty()) {
    hint =
        "a new axis needs the value that its field had, and it comes first where a sweep tunes: " +
        described(added);
  } else if (trial.is_tuning) {
    hint = "tuning takes the first value of an axis: put new values behind the old ones";
  }
  throw Error(ErrorKind::kConfig,
              trial.id + " (" + described(trial.axes) +
                  ") of this campaign is not in the sweep any more" +
                  (others > 0 ? " (nor are others: " + std::to_string(others) + ")" : ""),
              directory, hint);
}

}  // namespace

void keep_trials(const std::vector<PlannedTrial>& stored, const config::Sweep& sweep,
                 const std::string& directory, Plan& plan) {
  if (stored.empty()) {
    return;  // the planner's names are as good as any
  }
  std::map<std::string, const PlannedTrial*> known;
  std::map<std::string, long> last;  // prefix -> highest number given
  for (const PlannedTrial& trial : stored) {
    known.emplace(identity(trial, trial.axes), &trial);
    long& number = last[prefix_of(trial)];
    number = std::max(number, number_of(trial));
  }
  const Values added = new_axes(stored, sweep);
  for (PlannedTrial& trial : plan.trials) {
    const auto found = known.find(planned_identity(trial, added));
    if (found == known.end()) {
      char id[32];
      std::snprintf(id, sizeof id, "%s%04ld", prefix_of(trial), ++last[prefix_of(trial)]);
      trial.id = id;
      continue;
    }
    const PlannedTrial& before = *found->second;
    if (before.resolved && trial.resolved && before.stages != trial.stages) {
      throw Error(ErrorKind::kConfig,
                  before.id + " (" + described(before.axes) +
                      ") would run other stages than the campaign holds: its data or the program "
                      "changed",
                  directory, kHint);
    }
    trial.id = before.id;
    known.erase(found);
  }
  for (const PlannedTrial& trial : stored) {
    if (known.contains(identity(trial, trial.axes))) {
      refuse_loss(trial, known.size() - 1, added, directory);
    }
  }
}

}  // namespace finescale
