// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/pilot_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

namespace finescale {

namespace {

bool has_begun(const SlurmJob& job) {
  return job.state == "RUNNING" || job.state == "COMPLETING" || job.state == "SUSPENDED";
}

}  // namespace

bool was_taken_away(const std::string& state) {
  constexpr std::array<std::string_view, 7> kStates = {
      "CANCELLED", "PREEMPTED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "REVOKED"};
  return std::find(kStates.begin(), kStates.end(), state) != kStates.end();
}

std::string PilotTable::full_name(std::int64_t epoch, std::int64_t gang) const {
  return prefix_ + std::to_string(epoch) + "-" + std::to_string(gang);
}

bool PilotTable::is_older(std::string_view name) const {
  std::int64_t epoch = 0;
  name.remove_prefix(prefix_.size());
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), epoch);
  return error == std::errc() && epoch > 0 && epoch <= epoch_ && end != name.data() + name.size() &&
         *end == '-';
}

void PilotTable::add(const GangLaunch& launch) {
  epoch_ = launch.coordinator_epoch;
  Pilot pilot;
  pilot.launch = launch;
  pilot.name = full_name(launch.coordinator_epoch, launch.gang);
  pilots_[launch.gang] = std::move(pilot);
}

void PilotTable::saved(std::int64_t gang) {
  if (const auto found = pilots_.find(gang);
      found != pilots_.end() && found->second.phase == Phase::kUnsaved) {
    found->second.phase = Phase::kWaiting;
  }
}

// Whether its coordinator came to submit it is not known: it is looked for.
void PilotTable::adopt(const GangLaunch& launch, std::int64_t epoch, double now) {
  epoch_ = launch.coordinator_epoch;
  Pilot pilot;
  pilot.launch = launch;
  pilot.name = full_name(epoch, launch.gang);
  pilot.phase = Phase::kUnsure;
  pilot.since = now;
  pilots_[launch.gang] = std::move(pilot);
}

void PilotTable::cancel(std::int64_t gang) {
  const auto found = pilots_.find(gang);
  if (found == pilots_.end()) {
    return;
  }
  if (found->second.phase <= Phase::kWaiting) {  // Slurm has not heard of it
    ended_.push_back({gang, 0, "", true});
    pilots_.erase(found);
    return;
  }
  found->second.is_ending = true;
}

bool PilotTable::can_submit(double now) const {
  return now >= not_before_ && std::any_of(pilots_.begin(), pilots_.end(), [](const auto& item) {
           return item.second.phase == Phase::kWaiting;
         });
}

const GangLaunch* PilotTable::next_to_submit(double now) {
  if (!can_submit(now)) {
    return nullptr;
  }
  for (auto& [gang, pilot] : pilots_) {
    if (pilot.phase == Phase::kWaiting) {
      pilot.phase = Phase::kSubmitting;
      return &pilot.launch;
    }
  }
  return nullptr;
}

std::string PilotTable::name_of(std::int64_t gang) const {
  return pilots_.at(gang).name;
}

bool PilotTable::any_other(std::int64_t gang) const {
  return std::any_of(pilots_.begin(), pilots_.end(), [&](const auto& item) {
    return item.first != gang && item.second.phase >= Phase::kUnsure;
  });
}

void PilotTable::submitted(std::int64_t gang, const SlurmAnswer& answer, double now) {
  const auto found = pilots_.find(gang);
  if (found == pilots_.end()) {
    return;
  }
  Pilot& pilot = found->second;
  pilot.since = now;
  switch (answer.outcome) {
    case SlurmOutcome::kDone:
      pilot.phase = Phase::kQueued;
      pilot.job = answer.text;
      news_.push_back("gang " + std::to_string(gang) + ": job " + answer.text + " is queued");
      return;
    case SlurmOutcome::kUnknown:
      pilot.phase = Phase::kUnsure;
      news_.push_back("gang " + std::to_string(gang) + ": sbatch: " + answer.text +
                      "; looking for the job by its name");
      return;
    case SlurmOutcome::kRefused:
      break;
  }
  if (!any_other(gang)) {
    refusal_ = answer.text;
  }
  end(found, "Slurm refuses the job: " + answer.text, true, now);
}

void PilotTable::looked(const std::vector<SlurmJob>& jobs, double now) {
  std::map<std::string_view, const SlurmJob*> ours;
  for (const SlurmJob& job : jobs) {
    if (job.name.starts_with(prefix_)) {
      const SlurmJob*& known = ours[job.name];
      known = known == nullptr || is_over(*known) ? &job : known;  // a live one says more
    }
  }
  for (auto it = pilots_.begin(); it != pilots_.end();) {
    Pilot& pilot = it->second;
    const auto job = ours.find(pilot.name);
    if (job == ours.end()) {
      // One that ran may run on when a controller has forgotten it: its heartbeats tell.
      const bool is_gone =
          pilot.phase == Phase::kQueued || (pilot.phase >= Phase::kUnsure && pilot.is_ending) ||
          (pilot.phase == Phase::kUnsure && now - pilot.since > patience_.unsure_s);
      it = is_gone ? end(it, "Slurm has no job " + pilot.name + " any more", true, now)
                   : std::next(it);
      continue;
    }
    const SlurmJob& state = *job->second;
    ours.erase(job);
    if (is_over(state)) {
      const bool is_done = state.state == "COMPLETED";
      it = end(it, is_done ? "" : "job " + state.id + " is " + state.state,
               is_done || was_taken_away(state.state), now);
      continue;
    }
    note_state(pilot, state, now);
    ++it;
  }
  strangers_.clear();
  for (const auto& [name, job] : ours) {
    if (!is_over(*job) && is_older(name)) {
      strangers_.emplace_back(name);
    }
  }
}

void PilotTable::note_state(Pilot& pilot, const SlurmJob& job, double now) {
  pilot.job = job.id;
  if (has_begun(job) && pilot.phase != Phase::kRunning) {
    pilot.phase = Phase::kRunning;
    pilot.since = now;
    begun_.push_back(pilot.launch.gang);
    news_.push_back("gang " + std::to_string(pilot.launch.gang) + ": job " + job.id + " has begun");
  } else if (!has_begun(job) && pilot.phase != Phase::kQueued) {
    pilot.phase = Phase::kQueued;
    pilot.since = now;
  }
}

PilotTable::Pilots::iterator PilotTable::end(Pilots::iterator pilot, std::string why,
                                             bool is_blameless, double now) {
  const Pilot& one = pilot->second;
  const bool ran = one.phase == Phase::kRunning;
  if (!why.empty() && !one.is_ending) {
    news_.push_back("gang " + std::to_string(pilot->first) + ": " + why);
  }
  if (!one.is_ending) {
    after_loss(why.empty() || (ran && now - one.since >= patience_.short_s), now);
  }
  ended_.push_back({pilot->first, why.empty() ? 0 : 1, std::move(why), is_blameless});
  return pilots_.erase(pilot);
}

// Jobs that Slurm refuses, or that end at once, must not be made as fast as they go.
void PilotTable::after_loss(bool did_good, double now) {
  if (did_good) {
    delay_ = patience_.delay_s;
    return;
  }
  not_before_ = now + delay_;
  delay_ = std::min(2 * delay_, patience_.max_delay_s);
}

std::vector<std::string> PilotTable::to_cancel() const {
  std::vector<std::string> names = strangers_;
  for (const auto& [gang, pilot] : pilots_) {
    if (pilot.is_ending && pilot.phase >= Phase::kUnsure) {
      names.push_back(pilot.name);
    }
  }
  return names;
}

bool PilotTable::is_worth_a_look() const {
  return !strangers_.empty() || std::any_of(pilots_.begin(), pilots_.end(), [](const auto& item) {
    return item.second.phase >= Phase::kUnsure;
  });
}

}  // namespace finescale
