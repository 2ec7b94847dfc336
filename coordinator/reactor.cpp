// SPDX-License-Identifier: Apache-2.0
#include "coordinator/reactor.h"

#include <algorithm>
#include <limits>

namespace finescale {

namespace {

constexpr int kMaxLaunchFailures =
    3;  // gangs lost in a row before their first call: the launcher is broken

}  // namespace

void Reactor::add_stage(StageEntry stage, double now) {
  stage.position = num_positions_;
  stage.last_heartbeat = now;
  stage.leased_at = now;
  if (stage.stored.state == StageState::kRunning) {
    watch_within(0, now);
  }
  gangs_.reserve(stage.stored.gang);
  const StageEntry* added = stages_.add(std::move(stage));
  if (added == nullptr) {
    return;
  }
  ++num_positions_;
  failures_.doom_if_input_failed(*added);
}

void Reactor::adopt_gang(std::int64_t id, double now) {
  GangEntry& gang = gangs_.adopt(id, options_.queued_gangs, now);
  watch_within(options_.launch_timeout, now);
  for (const auto& [position, stage] : stages_.running()) {
    if (stage->stored.gang == id) {
      gang.key = stage->stored.key;
    }
  }
}

bool Reactor::launcher_is_broken() const {
  return !any_gang() && launch_failures_ >= kMaxLaunchFailures;
}

bool Reactor::any_future_work() const {
  return stages_.count(StageState::kPending) > 0 || stages_.count(StageState::kRunning) > 0;
}

std::int64_t Reactor::num_settled() const {
  return stages_.count(StageState::kDone) + stages_.count(StageState::kFailed) +
         stages_.count(StageState::kStopped);
}

StageEntry* Reactor::leased(const std::string& key, std::int64_t epoch, std::int64_t gang) {
  StageEntry* stage = stages_.find(key);
  if (stage == nullptr) {
    return nullptr;
  }
  const StoredStage& stored = stage->stored;
  const bool holds =
      stored.state == StageState::kRunning && stored.epoch == epoch && stored.gang == gang;
  return holds ? stage : nullptr;
}

Outbox Reactor::on_tick(double now) {
  Outbox out;
  gangs_.forget_lost();
  const bool is_closing = stopping_ || !any_future_work();
  const bool is_time = now >= watch_at_ || is_closing;
  if (is_time) {
    watch_gangs(is_closing, now, out);
  }
  failures_.fail_what_is_doomed(out);
  if (is_time) {
    watch_leases(now, out);
  }
  serve_waiting(now, out);
  launch_gangs(now, out);
  return out;
}

// Until the first of them has been silent for too long, unless something else shortens it.
void Reactor::watch_gangs(bool is_closing, double now, Outbox& out) {
  watch_at_ = std::numeric_limits<double>::infinity();
  for (auto& [id, gang] : gangs_.all()) {
    if (gang.is_queued) {
      if (is_closing) {
        out.push_back(KillGang{id, "no work is left for it"});
        lose_gang(gang, "no work is left for it", now, out, true);
      }
      continue;
    }
    const bool launching = gang.state == GangState::kLaunching;
    const double limit = launching ? options_.launch_timeout : options_.heartbeat_timeout;
    const double since = launching ? gang.launched_at : gang.last_seen;
    watch_within(limit, since);
    if (now - since > limit) {
      out.push_back(KillGang{id, launching ? "did not register" : "no heartbeat"});
      lose_gang(gang, "no heartbeat for " + std::to_string(static_cast<int>(limit)) + " s", now,
                out);
    }
  }
}

// A lease whose gang never came back (its coordinator died with it) expires like any other.
void Reactor::watch_leases(double now, Outbox& out) {
  std::vector<StageEntry*> lost;  // apart: one that fails is not running any more
  for (const auto& [position, stage] : stages_.running()) {
    if (gangs_.find(stage->stored.gang) == nullptr) {
      lost.push_back(stage);
    }
  }
  for (StageEntry* stage : lost) {
    attempt_failed(*stage, "comm", "the gang that ran it is gone", now, out);
  }
}

// Places in a queue are asked for by what could run now, others by what will.
std::int64_t Reactor::wanted_gangs() const {
  const std::int64_t wanted =
      options_.queued_gangs  // one may run many stages of a group
          ? static_cast<std::int64_t>(stages_.num_ready()) + gangs_.num_running()
          : stages_.count(StageState::kPending) + stages_.count(StageState::kRunning);
  return std::min<std::int64_t>(options_.gangs, wanted);
}

void Reactor::launch_gangs(double now, Outbox& out) {
  if (stopping_ || launch_failures_ >= kMaxLaunchFailures) {
    return;
  }
  for (std::int64_t alive = gangs_.num_alive(); alive < wanted_gangs(); ++alive) {
    out.emplace_back(LaunchGang{gangs_.launch(options_.queued_gangs, now).id});
    watch_within(options_.launch_timeout, now);
  }
}

void Reactor::on_gang_begun(std::int64_t id, double now) {
  if (GangEntry* gang = gangs_.find(id); gang != nullptr && gang->is_queued) {
    gang->is_queued = false;
    gang->launched_at = now;
    watch_within(options_.launch_timeout, now);
  }
}

Outbox Reactor::on_gang_exit(std::int64_t id, int code, const std::string& reason, double now,
                             bool is_blameless) {
  Outbox out;
  if (GangEntry* gang = gangs_.find(id); gang != nullptr) {
    lose_gang(
        *gang,
        "the gang exited with code " + std::to_string(code) + (reason.empty() ? "" : ": " + reason),
        now, out, is_blameless);
  }
  return out;
}

void Reactor::lose_gang(GangEntry& gang, const std::string& why, double now, Outbox& out,
                        bool is_blameless) {
  if (gang.state == GangState::kLaunching && !gang.is_adopted && !is_blameless) {
    ++launch_failures_;
    launch_failure_ = why;
  }
  gangs_.set_state(gang, GangState::kLost);
  stop_waiting(gang, proto::NextReply::EXIT, out);
  end_leases(gang, why, now, out, {}, is_blameless);
}

void Reactor::end_leases(const GangEntry& gang, const std::string& why, double now, Outbox& out,
                         const std::vector<StageEntry*>& kept, bool is_blameless) {
  std::vector<StageEntry*> held;  // apart: one that fails is not running any more
  for (const auto& [position, stage] : stages_.running()) {
    if (stage->stored.gang == gang.id && std::find(kept.begin(), kept.end(), stage) == kept.end()) {
      held.push_back(stage);
    }
  }
  for (StageEntry* stage : held) {
    attempt_failed(*stage, "comm", why, now, out, is_blameless);
  }
}

void Reactor::attempt_failed(StageEntry& stage, const std::string& kind, const std::string& message,
                             double now, Outbox& out, bool is_blameless) {
  const Blame blame = stopping_ ? Blame::kStop : is_blameless ? Blame::kOutside : Blame::kStage;
  failures_.attempt_failed(stage, kind, message, blame, now, out);
}

Outbox Reactor::artifact_lost(const std::string& key, const std::string& why) {
  Outbox out;
  StageEntry& stage = *stages_.find(key);
  if (stage.stored.state == StageState::kDone) {
    failures_.artifact_lost(stage, why, out);
  }
  return out;
}

Outbox Reactor::stop_stage(const std::string& key) {
  Outbox out;
  StageEntry& stage = *stages_.find(key);
  if (stage.stored.state == StageState::kPending || stage.stored.state == StageState::kRunning) {
    // A gang that runs it is told at its next heartbeat.
    stages_.set_state(stage, StageState::kStopped);
    stage.stored.gang = 0;
    out.push_back(SaveStage{key});
  }
  return out;
}

}  // namespace finescale
