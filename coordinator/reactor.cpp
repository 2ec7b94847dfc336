// SPDX-License-Identifier: Apache-2.0
#include "coordinator/reactor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

constexpr double kEndOfTime = std::numeric_limits<double>::infinity();
constexpr double kHoldSeconds = 1;  // a Next without work is answered WAIT after this long
constexpr int kMaxLaunchFailures =
    3;  // gangs lost in a row before their first call: the launcher is broken

template <class R>
void reply(Outbox& out, std::uint64_t request, R message) {
  out.push_back(Reply{request, std::move(message)});
}

}  // namespace

void Reactor::add_stage(StageEntry stage, double now) {
  if (stages_.contains(stage.stored.key)) {
    return;
  }
  stage.position = num_positions_++;
  stage.last_heartbeat = now;
  stage.leased_at = now;
  last_gang_ = std::max(last_gang_, stage.stored.gang);
  stages_.emplace(stage.stored.key, std::move(stage));
  inputs_checked_ = false;  // it may come with an input that has failed
}

void Reactor::adopt_gang(std::int64_t id, double now) {
  last_gang_ = std::max(last_gang_, id);
  GangEntry gang;
  gang.id = id;
  gang.state = GangState::kLaunching;  // until it registers again
  gang.launched_at = now;
  gang.last_seen = now;
  for (const auto& [key, stage] : stages_) {
    if (stage.stored.state == StageState::kRunning && stage.stored.gang == id) {
      gang.key = key;
    }
  }
  gangs_.emplace(id, gang);
}

GangEntry* Reactor::known(std::int64_t id, std::int64_t coordinator_epoch) {
  const auto found = gangs_.find(id);
  if (found == gangs_.end() || found->second.state == GangState::kLost ||
      coordinator_epoch != options_.coordinator_epoch) {
    return nullptr;
  }
  return &found->second;
}

bool Reactor::is_ready(const StageEntry& stage, double now) const {
  if (stage.stored.state != StageState::kPending || now < stage.not_before) {
    return false;
  }
  return std::all_of(stage.inputs.begin(), stage.inputs.end(), [&](const std::string& input) {
    const auto found = stages_.find(input);
    return found != stages_.end() && found->second.stored.state == StageState::kDone;
  });
}

// Plan order; but a stage whose newest input this gang has just made goes first: its model and data
// are resident.
StageEntry* Reactor::best_ready(const GangEntry& gang, double now) {
  StageEntry* best = nullptr;
  bool best_local = false;
  for (auto& [key, stage] : stages_) {
    if (!is_ready(stage, now)) {
      continue;
    }
    const bool local = !gang.key.empty() && std::find(stage.inputs.begin(), stage.inputs.end(),
                                                      gang.key) != stage.inputs.end();
    if (best == nullptr || (local && !best_local) ||
        (local == best_local && stage.position < best->position)) {
      best = &stage;
      best_local = local;
    }
  }
  return best;
}

// A stage that everything else waits for (pretraining, usually) gets the threads of all gangs of
// its host. Nothing else can start before it ends, unless somebody adds or retries a stage
// meanwhile.
int Reactor::thread_shares(const GangEntry& gang) const {
  const bool alone = std::none_of(stages_.begin(), stages_.end(), [&](const auto& item) {
    const StageEntry& stage = item.second;
    return stage.stored.key != gang.key &&
           (stage.stored.state == StageState::kRunning || is_ready(stage, kEndOfTime));
  });
  if (!alone) {
    return 1;
  }
  return static_cast<int>(std::count_if(gangs_.begin(), gangs_.end(), [&](const auto& item) {
    return item.second.host == gang.host && item.second.state != GangState::kLost &&
           item.second.state != GangState::kLaunching;
  }));
}

bool Reactor::any_future_work() const {
  return std::any_of(stages_.begin(), stages_.end(), [](const auto& item) {
    return item.second.stored.state == StageState::kPending ||
           item.second.stored.state == StageState::kRunning;
  });
}

StageEntry* Reactor::leased(const std::string& key, std::int64_t epoch, std::int64_t gang) {
  const auto found = stages_.find(key);
  if (found == stages_.end()) {
    return nullptr;
  }
  const StoredStage& stored = found->second.stored;
  const bool holds =
      stored.state == StageState::kRunning && stored.epoch == epoch && stored.gang == gang;
  return holds ? &found->second : nullptr;
}

// Dependents fail in the transaction after the failure itself; a coordinator that died between the
// two left them pending.
void Reactor::fail_what_cannot_run(Outbox& out) {
  std::vector<std::string> failed;
  for (const auto& [key, stage] : stages_) {
    if (stage.stored.state == StageState::kFailed) {
      failed.push_back(key);
    }
  }
  for (const std::string& key : failed) {
    const StageEntry& stage = stages_.at(key);
    fail_dependents(key, stage.stored.label + ": " + stage.stored.error, out);
  }
}

Outbox Reactor::on_tick(double now) {
  Outbox out;
  for (auto& [id, gang] : gangs_) {
    if (gang.state == GangState::kLost) {
      continue;
    }
    const bool launching = gang.state == GangState::kLaunching;
    const double limit = launching ? options_.launch_timeout : options_.heartbeat_timeout;
    if (now - (launching ? gang.launched_at : gang.last_seen) > limit) {
      out.push_back(KillGang{id, launching ? "did not register" : "no heartbeat"});
      lose_gang(gang, "no heartbeat for " + std::to_string(static_cast<int>(limit)) + " s", now,
                out);
    }
  }
  if (!std::exchange(inputs_checked_, true)) {
    fail_what_cannot_run(out);
  }
  // A lease whose gang never came back (its coordinator died with it) expires like any other.
  for (auto& [key, stage] : stages_) {
    if (stage.stored.state != StageState::kRunning) {
      continue;
    }
    const auto gang = gangs_.find(stage.stored.gang);
    if (gang == gangs_.end() || gang->second.state == GangState::kLost) {
      attempt_failed(stage, "comm", "the gang that ran it is gone", now, out);
    }
  }
  serve_waiting(now, out);
  if (!stopping_ && launch_failures_ < kMaxLaunchFailures) {
    int alive = 0;
    for (const auto& [id, gang] : gangs_) {
      alive += static_cast<int>(gang.state != GangState::kLost);
    }
    std::int64_t open = 0;
    for (const auto& [key, stage] : stages_) {
      open += static_cast<int>(stage.stored.state == StageState::kPending ||
                               stage.stored.state == StageState::kRunning);
    }
    while (alive < options_.gangs && alive < open) {
      GangEntry gang;
      gang.id = ++last_gang_;
      gang.launched_at = now;
      gang.last_seen = now;
      gangs_.emplace(gang.id, gang);
      out.push_back(LaunchGang{gang.id});
      ++alive;
    }
  }
  return out;
}

void Reactor::serve_waiting(double now, Outbox& out) {
  for (auto& [id, gang] : gangs_) {
    if (gang.waiting == 0 || gang.state != GangState::kIdle) {
      continue;
    }
    if (stopping_ || !any_future_work()) {
      proto::NextReply message;
      message.set_order(proto::NextReply::EXIT);
      reply(out, std::exchange(gang.waiting, 0), message);
      continue;
    }
    if (StageEntry* stage = best_ready(gang, now); stage != nullptr) {
      stage->stored.state = StageState::kRunning;
      ++stage->stored.epoch;
      stage->stored.gang = id;
      stage->leased_at = now;
      stage->last_heartbeat = now;
      stage->progress.Clear();
      gang.state = GangState::kRunning;
      gang.key = stage->stored.key;
      out.push_back(
          Order{std::exchange(gang.waiting, 0), stage->stored.key, id, thread_shares(gang)});
    } else if (now - gang.waiting_since > kHoldSeconds) {
      proto::NextReply message;
      message.set_order(proto::NextReply::WAIT);
      reply(out, std::exchange(gang.waiting, 0), message);
    }
  }
}

Outbox Reactor::on_register(std::uint64_t request, const proto::RegisterRequest& message,
                            double now) {
  Outbox out;
  proto::RegisterReply answer;
  GangEntry* gang = known(message.caller().gang(), message.caller().coordinator_epoch());
  if (gang == nullptr) {
    answer.set_accepted(false);
    answer.set_why("unknown gang or an older coordinator epoch");
    reply(out, request, answer);
    return out;
  }
  launch_failures_ = 0;
  gang->last_seen = now;
  gang->host = message.host();
  gang->ranks = message.ranks();
  answer.set_accepted(true);
  StageEntry* held = message.held_key().empty()
                         ? nullptr
                         : leased(message.held_key(), message.held_epoch(), gang->id);
  answer.set_keep_lease(held != nullptr);
  gang->state = held != nullptr ? GangState::kRunning : GangState::kIdle;
  if (held != nullptr) {
    held->last_heartbeat = now;
    gang->key = message.held_key();
  } else {
    for (auto& [key, stage] : stages_) {  // a lease that the gang does not know any more
      if (stage.stored.state == StageState::kRunning && stage.stored.gang == gang->id) {
        attempt_failed(stage, "comm", "the gang lost its lease", now, out);
      }
    }
  }
  reply(out, request, answer);
  return out;
}

Outbox Reactor::on_next(std::uint64_t request, const proto::NextRequest& message, double now) {
  Outbox out;
  GangEntry* gang = known(message.caller().gang(), message.caller().coordinator_epoch());
  if (gang == nullptr || gang->state == GangState::kLaunching) {
    proto::NextReply answer;
    answer.set_order(proto::NextReply::EXIT);
    reply(out, request, answer);
    return out;
  }
  gang->last_seen = now;
  for (auto& [key, stage] : stages_) {  // it asks for more: whatever it held is not being worked on
    if (stage.stored.state == StageState::kRunning && stage.stored.gang == gang->id) {
      attempt_failed(stage, "comm", "the gang asked for other work", now, out);
    }
  }
  gang->state = GangState::kIdle;
  gang->waiting = request;
  gang->waiting_since = now;
  serve_waiting(now, out);
  return out;
}

Outbox Reactor::on_heartbeat(std::uint64_t request, const proto::HeartbeatRequest& message,
                             double now) {
  Outbox out;
  proto::HeartbeatReply answer;
  answer.set_action(proto::HeartbeatReply::GO_ON);
  GangEntry* gang = known(message.caller().gang(), message.caller().coordinator_epoch());
  if (gang == nullptr) {
    answer.set_action(proto::HeartbeatReply::ABANDON);
    reply(out, request, answer);
    return out;
  }
  gang->last_seen = now;
  if (!message.key().empty()) {
    StageEntry* stage = leased(message.key(), message.epoch(), gang->id);
    if (stage == nullptr) {
      answer.set_action(proto::HeartbeatReply::ABANDON);
    } else {
      stage->last_heartbeat = now;
      stage->progress = message.progress();
      if (stopping_) {
        answer.set_action(proto::HeartbeatReply::STOP);
      }
    }
  }
  reply(out, request, answer);
  return out;
}

Outbox Reactor::on_commit(std::uint64_t request, const proto::CommitRequest& message, double now) {
  Outbox out;
  GangEntry* gang = known(message.caller().gang(), message.caller().coordinator_epoch());
  StageEntry* stage = gang == nullptr ? nullptr : leased(message.key(), message.epoch(), gang->id);
  if (stage == nullptr) {
    proto::CommitReply answer;
    answer.set_accepted(false);
    answer.set_why("the lease is not valid any more");
    reply(out, request, answer);
    return out;
  }
  gang->last_seen = now;
  if (message.result().outcome() ==
      proto::StageResult::STOPPED) {  // its checkpoint waits in the attempt's directory
    stage->stored.state = StageState::kPending;
    stage->stored.gang = 0;
    out.push_back(SaveStage{message.key()});
    proto::CommitReply answer;
    answer.set_accepted(true);
    reply(out, request, answer);
    return out;
  }
  out.push_back(Publish{request, message});
  return out;
}

Outbox Reactor::committed(const std::string& key, const proto::StageResult& result) {
  StageEntry& stage = stages_.at(key);
  const bool diverged = result.outcome() == proto::StageResult::DIVERGED;
  stage.stored.state = diverged ? StageState::kFailed : StageState::kDone;
  stage.stored.error_kind = diverged ? "diverged" : "";
  stage.stored.error = diverged ? result.why() : "";
  stage.stored.result = result.SerializeAsString();
  stage.stored.gang = 0;
  Outbox out;
  if (diverged) {
    fail_dependents(key, result.why(), out);
  }
  return out;
}

Outbox Reactor::commit_refused(const std::string& key, const std::string& why, double now) {
  Outbox out;
  attempt_failed(stages_.at(key), "checkpoint", why, now, out);
  return out;
}

Outbox Reactor::on_fail(std::uint64_t request, const proto::FailRequest& message, double now) {
  Outbox out;
  GangEntry* gang = known(message.caller().gang(), message.caller().coordinator_epoch());
  if (StageEntry* stage =
          gang == nullptr ? nullptr : leased(message.key(), message.epoch(), gang->id);
      stage != nullptr) {
    gang->last_seen = now;
    attempt_failed(*stage, message.kind(), message.message(), now, out);
  }
  reply(out, request, proto::FailReply());
  return out;
}

Outbox Reactor::on_gang_exit(std::int64_t id, int code, const std::string& reason, double now) {
  Outbox out;
  const auto found = gangs_.find(id);
  if (found == gangs_.end() || found->second.state == GangState::kLost) {
    return out;
  }
  lose_gang(
      found->second,
      "the gang exited with code " + std::to_string(code) + (reason.empty() ? "" : ": " + reason),
      now, out);
  return out;
}

void Reactor::lose_gang(GangEntry& gang, const std::string& why, double now, Outbox& out) {
  launch_failures_ += static_cast<int>(gang.state == GangState::kLaunching);
  gang.state = GangState::kLost;
  gang.waiting = 0;
  for (auto& [key, stage] : stages_) {
    if (stage.stored.state == StageState::kRunning && stage.stored.gang == gang.id) {
      attempt_failed(stage, "comm", why, now, out);
    }
  }
}

void Reactor::attempt_failed(StageEntry& stage, const std::string& kind, const std::string& message,
                             double now, Outbox& out) {
  stage.stored.gang = 0;
  stage.stored.error_kind = kind;
  stage.stored.error = message;
  if (stopping_) {  // nobody's fault: it goes on at the next run
    stage.stored.state = StageState::kPending;
    out.push_back(SaveStage{stage.stored.key});
    return;
  }
  ++stage.stored.attempts;
  if (is_retryable(error_kind_from_name(kind)) && stage.stored.attempts < options_.max_attempts) {
    // Exponential back-off with up to a quarter of jitter, so that many stages of one lost node do
    // not come back at once.
    const double delay = std::min(options_.retry_delay_max,
                                  options_.retry_delay * std::exp2(stage.stored.attempts - 1));
    stage.not_before = now + delay * (1 + 0.25 * jitter_.uniform());
    stage.stored.state = StageState::kPending;
    out.push_back(SaveStage{stage.stored.key});
    return;
  }
  stage.stored.state = StageState::kFailed;
  out.push_back(SaveStage{stage.stored.key});
  fail_dependents(stage.stored.key, stage.stored.label + ": " + message, out);
}

void Reactor::fail_dependents(const std::string& key, const std::string& why, Outbox& out) {
  for (auto& [other, stage] : stages_) {
    if (stage.stored.state == StageState::kPending &&
        std::find(stage.inputs.begin(), stage.inputs.end(), key) != stage.inputs.end()) {
      stage.stored.state = StageState::kFailed;
      stage.stored.error_kind = "input";
      stage.stored.error = "its input failed: " + why;
      out.push_back(SaveStage{other});
      fail_dependents(other, why, out);
    }
  }
}

void Reactor::stop() {
  stopping_ = true;
}

Outbox Reactor::stop_stage(const std::string& key) {
  Outbox out;
  StageEntry& stage = stages_.at(key);
  if (stage.stored.state == StageState::kPending || stage.stored.state == StageState::kRunning) {
    stage.stored.state = StageState::kStopped;  // a gang that runs it is told at its next heartbeat
    stage.stored.gang = 0;
    out.push_back(SaveStage{key});
  }
  return out;
}

bool Reactor::all_settled() const {
  return !any_future_work();
}

bool Reactor::any_gang() const {
  return std::any_of(gangs_.begin(), gangs_.end(),
                     [](const auto& item) { return item.second.state != GangState::kLost; });
}

}  // namespace finescale
