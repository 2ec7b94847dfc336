// SPDX-License-Identifier: Apache-2.0
#include "coordinator/reactor.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

constexpr double kHoldSeconds = 1;  // a Next without work is answered WAIT after this long
constexpr int kMaxLaunchFailures =
    3;  // gangs lost in a row before their first call: the launcher is broken

template <class R>
void reply(Outbox& out, std::uint64_t request, R message) {
  out.push_back(Reply{request, std::move(message)});
}

}  // namespace

void Reactor::add_stage(StageEntry stage, double now) {
  stage.position = num_positions_;
  stage.last_heartbeat = now;
  stage.leased_at = now;
  last_gang_ = std::max(last_gang_, stage.stored.gang);
  const StageEntry* added = stages_.add(std::move(stage));
  if (added == nullptr) {
    return;
  }
  ++num_positions_;
  doom_if_input_failed(*added);
}

// A pending stage whose input has failed will fail at the next tick: it was planned or queued again
// behind the failure.
void Reactor::doom_if_input_failed(const StageEntry& stage) {
  const bool is_doomed = std::any_of(
      stage.sources.begin(), stage.sources.end(),
      [](const StageEntry* source) { return source->stored.state == StageState::kFailed; });
  if (is_doomed && stage.stored.state == StageState::kPending) {
    doomed_.push_back(stage.stored.key);
  }
}

void Reactor::adopt_gang(std::int64_t id, double now) {
  last_gang_ = std::max(last_gang_, id);
  GangEntry gang;
  gang.id = id;
  gang.state = GangState::kLaunching;  // until it registers again
  gang.is_adopted = true;
  gang.is_queued = options_.queued_gangs;
  gang.launched_at = now;
  gang.last_seen = now;
  for (const auto& [position, stage] : stages_.running()) {
    if (stage->stored.gang == id) {
      gang.key = stage->stored.key;
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

// A stage that everything else waits for (pretraining, usually) gets the threads of all gangs of
// its host. Nothing else can start before it ends, unless somebody adds or retries a stage
// meanwhile.
int Reactor::thread_shares(const GangEntry& gang) const {
  if (stages_.count(StageState::kRunning) != 1 || stages_.num_ready() > 0) {
    return 1;
  }
  return static_cast<int>(std::count_if(gangs_.begin(), gangs_.end(), [&](const auto& item) {
    return item.second.host == gang.host && item.second.state != GangState::kLost &&
           item.second.state != GangState::kLaunching;
  }));
}

bool Reactor::any_future_work() const {
  return stages_.count(StageState::kPending) > 0 || stages_.count(StageState::kRunning) > 0;
}

std::int64_t Reactor::num_settled() const {
  return stages_.count(StageState::kDone) + stages_.count(StageState::kFailed) +
         stages_.count(StageState::kStopped);
}

// A call that was sent before one that has been heard: what it says of the gang is not true any
// more.
bool Reactor::is_late(GangEntry& gang, const proto::Caller& caller) {
  if (!caller.has_number()) {
    return false;
  }
  const bool late = caller.number() <= gang.last_number;
  gang.last_number = std::max(gang.last_number, caller.number());
  return late;
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

// Dependents fail in the transaction after the failure itself; a coordinator that died between the
// two left them pending. So are stages that are planned behind a failure.
void Reactor::fail_what_cannot_run(Outbox& out) {
  for (const std::string& key : std::exchange(doomed_, {})) {
    for (StageEntry* source : stages_.find(key)->sources) {
      if (source->stored.state == StageState::kFailed) {
        fail_dependents(*source, source->stored.label + ": " + source->stored.error, out);
      }
    }
  }
}

Outbox Reactor::on_tick(double now) {
  Outbox out;
  std::erase_if(gangs_, [](const auto& item) { return item.second.state == GangState::kLost; });
  for (auto& [id, gang] : gangs_) {
    if (gang.state == GangState::kLost) {
      continue;
    }
    if (gang.is_queued) {
      if (stopping_ || !any_future_work()) {
        out.push_back(KillGang{id, "no work is left for it"});
        lose_gang(gang, "no work is left for it", now, out, true);
      }
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
  fail_what_cannot_run(out);
  // A lease whose gang never came back (its coordinator died with it) expires like any other.
  std::vector<StageEntry*> lost;  // apart: one that fails is not running any more
  for (const auto& [position, stage] : stages_.running()) {
    const auto gang = gangs_.find(stage->stored.gang);
    if (gang == gangs_.end() || gang->second.state == GangState::kLost) {
      lost.push_back(stage);
    }
  }
  for (StageEntry* stage : lost) {
    attempt_failed(*stage, "comm", "the gang that ran it is gone", now, out);
  }
  serve_waiting(now, out);
  launch_gangs(now, out);
  return out;
}

// Places in a queue are asked for by what could run now, others by what will.
std::int64_t Reactor::wanted_gangs() const {
  std::int64_t wanted = stages_.count(StageState::kPending) + stages_.count(StageState::kRunning);
  if (options_.queued_gangs) {  // one may run many stages of a group
    wanted = static_cast<std::int64_t>(stages_.num_ready()) +
             std::count_if(gangs_.begin(), gangs_.end(), [](const auto& item) {
               return item.second.state == GangState::kRunning;
             });
  }
  return std::min<std::int64_t>(options_.gangs, wanted);
}

void Reactor::launch_gangs(double now, Outbox& out) {
  if (!stopping_ && launch_failures_ < kMaxLaunchFailures) {
    int alive = 0;
    for (const auto& [id, gang] : gangs_) {
      alive += static_cast<int>(gang.state != GangState::kLost);
    }
    while (alive < wanted_gangs()) {
      GangEntry gang;
      gang.id = ++last_gang_;
      gang.is_queued = options_.queued_gangs;
      gang.launched_at = now;
      gang.last_seen = now;
      gangs_.emplace(gang.id, gang);
      out.push_back(LaunchGang{gang.id});
      ++alive;
    }
  }
}

void Reactor::serve_waiting(double now, Outbox& out) {
  for (auto& [id, gang] : gangs_) {
    if (gang.waiting != 0 && gang.state == GangState::kIdle) {
      serve(gang, now, out);
    }
  }
}

void Reactor::lease(StageEntry& stage, GangEntry& gang, double now) {
  stages_.set_state(stage, StageState::kRunning);
  ++stage.stored.epoch;
  stage.stored.gang = gang.id;
  stage.leased_at = now;
  stage.last_heartbeat = now;
  stage.progress.Clear();
  gang.state = GangState::kRunning;
  gang.key = stage.stored.key;
}

// Behind a short stage more of them, as long as all together are short.
Order Reactor::order_for(GangEntry& gang, StageEntry& first, double now) {
  Order order{std::exchange(gang.waiting, 0), first.stored.key, gang.id, 1, {}};
  const std::size_t most = most_stages(gang);
  std::optional<double> seconds = short_seconds(first);
  lease(first, gang, now);
  order.thread_shares = thread_shares(gang);
  double whole = seconds.value_or(0);
  while (seconds && whole < kShortSeconds && order.more.size() + 1 < most) {
    StageEntry* next = stages_.best_ready(gang.key, now);
    seconds = next == nullptr ? std::nullopt : short_seconds(*next);
    if (seconds) {
      whole += *seconds;
      lease(*next, gang, now);
      order.more.push_back(next->stored.key);
    }
  }
  return order;
}

// Half of what a gang may expect of the stages that are ready, so that none waits for another's.
std::size_t Reactor::most_stages(const GangEntry& gang) const {
  const std::size_t fair =
      stages_.num_ready() /
      (2 * static_cast<std::size_t>(std::max<std::int64_t>(1, options_.gangs)));
  return std::min(fair, static_cast<std::size_t>(std::max(1, gang.most)));
}

// Nothing when the stage is not known to be short, or is better alone: it has failed before, and
// would cost those beside it an attempt.
std::optional<double> Reactor::short_seconds(const StageEntry& stage) const {
  if (stage.stored.attempts > 0 || options_.max_attempts < 2) {
    return std::nullopt;
  }
  const std::optional<double> seconds = pace_.expected_seconds(stage);
  return seconds && *seconds < kShortSeconds ? seconds : std::nullopt;
}

void Reactor::serve(GangEntry& gang, double now, Outbox& out) {
  const auto answer = [&](proto::NextReply::Order order) {
    proto::NextReply message;
    message.set_order(order);
    reply(out, std::exchange(gang.waiting, 0), message);
  };
  if (stopping_ || !any_future_work()) {
    return answer(proto::NextReply::EXIT);
  }
  if (StageEntry* stage = stages_.best_ready(gang.key, now); stage != nullptr) {
    out.push_back(order_for(gang, *stage, now));
  } else if (now - gang.idle_since > options_.idle_timeout) {
    answer(proto::NextReply::EXIT);
  } else if (now - gang.waiting_since > kHoldSeconds) {
    answer(proto::NextReply::WAIT);
  }
}

Outbox Reactor::on_register(std::uint64_t request, const proto::RegisterRequest& message,
                            double now) {
  Outbox out;
  proto::RegisterReply answer;
  GangEntry* gang = known(message.caller().gang(), message.caller().coordinator_epoch());
  if (gang == nullptr || is_late(*gang, message.caller())) {
    answer.set_accepted(false);
    answer.set_why(gang == nullptr ? "unknown gang or an older coordinator epoch"
                                   : "a later call was heard");
    reply(out, request, answer);
    return out;
  }
  launch_failures_ = 0;
  gang->last_seen = now;
  gang->idle_since = now;
  gang->is_queued = false;
  gang->host = message.host();
  gang->ranks = message.ranks();
  answer.set_accepted(true);
  StageEntry* held = message.held_key().empty()
                         ? nullptr
                         : leased(message.held_key(), message.held_epoch(), gang->id);
  answer.set_keep_lease(held != nullptr);
  std::vector<StageEntry*> kept;
  if (held != nullptr) {
    held->last_heartbeat = now;
    gang->key = message.held_key();
    kept.push_back(held);
  }
  for (const proto::HeldLease& also : message.also_held()) {
    if (StageEntry* stage = leased(also.key(), also.epoch(), gang->id); stage != nullptr) {
      kept.push_back(stage);
    }
  }
  gang->state = kept.empty() ? GangState::kIdle : GangState::kRunning;
  end_leases(*gang, "the gang lost its lease", now, out, kept);
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
  if (is_late(*gang, message.caller())) {
    proto::NextReply answer;
    answer.set_order(proto::NextReply::WAIT);
    reply(out, request, answer);
    return out;
  }
  gang->last_seen = now;
  // It asks for more: whatever it held is not being worked on.
  end_leases(*gang, "the gang asked for other work", now, out);
  if (gang->state != GangState::kIdle) {
    gang->idle_since = now;
  }
  gang->state = GangState::kIdle;
  gang->waiting = request;
  gang->waiting_since = now;
  gang->most = message.most();
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
      gang->key = message.key();
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
  if (gang != nullptr) {
    gang->last_seen = now;  // alive, whatever became of its lease
  }
  Publish publish{request, message.caller().gang(), {}};
  publish.parts.push_back(judge(message, gang, out));
  publish.parts.front().commit.clear_more();
  for (const proto::CommitRequest& part : message.more()) {
    publish.parts.push_back(judge(part, gang, out));
  }
  const bool is_answered = std::all_of(publish.parts.begin(), publish.parts.end(),
                                       [](const CommitPart& part) { return part.reply; });
  if (!is_answered) {
    out.push_back(std::move(publish));
    return out;
  }
  std::vector<proto::CommitReply> replies;
  for (CommitPart& part : publish.parts) {
    replies.push_back(std::move(*part.reply));
  }
  reply(out, request, joined(std::move(replies)));
  return out;
}

CommitPart Reactor::judge(proto::CommitRequest commit, const GangEntry* gang, Outbox& out) {
  CommitPart part{std::move(commit), std::nullopt};
  StageEntry* stage =
      gang == nullptr ? nullptr : leased(part.commit.key(), part.commit.epoch(), gang->id);
  if (stage == nullptr) {
    part.reply.emplace().set_accepted(false);
    part.reply->set_why("the lease is not valid any more");
  } else if (part.commit.result().outcome() == proto::StageResult::STOPPED) {
    // Its checkpoint, if it has one, waits in the attempt's directory.
    stages_.set_state(*stage, StageState::kPending);
    stage->stored.gang = 0;
    doom_if_input_failed(*stage);
    out.push_back(SaveStage{part.commit.key()});
    part.reply.emplace().set_accepted(true);
  }
  return part;
}

proto::CommitReply joined(std::vector<proto::CommitReply> replies) {
  proto::CommitReply whole = std::move(replies.front());
  for (std::size_t i = 1; i < replies.size(); ++i) {
    *whole.add_more() = std::move(replies[i]);
  }
  return whole;
}

Outbox Reactor::committed(const std::string& key, const proto::StageResult& result) {
  StageEntry& stage = *stages_.find(key);
  const bool diverged = result.outcome() == proto::StageResult::DIVERGED;
  stages_.set_state(stage, diverged ? StageState::kFailed : StageState::kDone);
  stage.stored.error_kind = diverged ? "diverged" : "";
  stage.stored.error = diverged ? result.why() : "";
  stage.stored.result = result.SerializeAsString();
  stage.stored.gang = 0;
  pace_.learn(stage, result);
  Outbox out;
  if (diverged) {
    fail_dependents(stage, result.why(), out);
  }
  return out;
}

Outbox Reactor::commit_refused(const std::string& key, const std::string& why, double now) {
  Outbox out;
  attempt_failed(*stages_.find(key), "checkpoint", why, now, out);
  return out;
}

Outbox Reactor::on_fail(std::uint64_t request, const proto::FailRequest& message, double now) {
  Outbox out;
  GangEntry* gang = known(message.caller().gang(), message.caller().coordinator_epoch());
  if (gang != nullptr) {
    gang->last_seen = now;
  }
  if (StageEntry* stage =
          gang == nullptr ? nullptr : leased(message.key(), message.epoch(), gang->id);
      stage != nullptr) {
    attempt_failed(*stage, message.kind(), message.message(), now, out);
  }
  reply(out, request, proto::FailReply());
  return out;
}

void Reactor::on_gang_begun(std::int64_t id, double now) {
  if (const auto found = gangs_.find(id); found != gangs_.end() && found->second.is_queued) {
    found->second.is_queued = false;
    found->second.launched_at = now;
  }
}

Outbox Reactor::on_gang_exit(std::int64_t id, int code, const std::string& reason, double now,
                             bool is_blameless) {
  Outbox out;
  const auto found = gangs_.find(id);
  if (found == gangs_.end() || found->second.state == GangState::kLost) {
    return out;
  }
  lose_gang(
      found->second,
      "the gang exited with code " + std::to_string(code) + (reason.empty() ? "" : ": " + reason),
      now, out, is_blameless);
  return out;
}

void Reactor::lose_gang(GangEntry& gang, const std::string& why, double now, Outbox& out,
                        bool is_blameless) {
  launch_failures_ +=
      static_cast<int>(gang.state == GangState::kLaunching && !gang.is_adopted && !is_blameless);
  gang.state = GangState::kLost;
  gang.waiting = 0;
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
  stage.stored.gang = 0;
  stage.stored.error_kind = kind;
  stage.stored.error = message;
  if (stopping_) {  // nobody's fault: it goes on at the next run
    stages_.set_state(stage, StageState::kPending);
    out.push_back(SaveStage{stage.stored.key});
    return;
  }
  if (is_blameless) {
    stages_.set_pending(stage, now + options_.retry_delay * (1 + 0.25 * jitter_.uniform()));
    doom_if_input_failed(stage);
    out.push_back(SaveStage{stage.stored.key});
    return;
  }
  ++stage.stored.attempts;
  if (is_retryable(error_kind_from_name(kind)) && stage.stored.attempts < options_.max_attempts) {
    // Exponential back-off with up to a quarter of jitter, so that many stages of one lost node do
    // not come back at once.
    const double delay = std::min(options_.retry_delay_max,
                                  options_.retry_delay * std::exp2(stage.stored.attempts - 1));
    stages_.set_pending(stage, now + delay * (1 + 0.25 * jitter_.uniform()));
    doom_if_input_failed(stage);
    out.push_back(SaveStage{stage.stored.key});
    return;
  }
  stages_.set_state(stage, StageState::kFailed);
  out.push_back(SaveStage{stage.stored.key});
  fail_dependents(stage, stage.stored.label + ": " + message, out);
}

void Reactor::fail_dependents(const StageEntry& source, const std::string& why, Outbox& out) {
  for (StageEntry* stage : source.readers) {
    if (stage->stored.state == StageState::kPending) {
      stages_.set_state(*stage, StageState::kFailed);
      stage->stored.error_kind = "input";
      stage->stored.error = "its input failed: " + why;
      out.push_back(SaveStage{stage->stored.key});
      fail_dependents(*stage, why, out);
    }
  }
}

Outbox Reactor::artifact_lost(const std::string& key, const std::string& why) {
  Outbox out;
  StageEntry& stage = *stages_.find(key);
  if (stage.stored.state != StageState::kDone) {
    return out;
  }
  stage.stored.result.clear();
  stage.stored.error_kind = "checkpoint";
  stage.stored.error = "its artifact is damaged: " + why;
  // Inputs that this plan has not are trunks of an earlier one that nobody else needs.
  const auto unmade = std::count_if(
      stage.sources.begin(), stage.sources.end(),
      [](const StageEntry* source) { return source->stored.state != StageState::kDone; });
  const bool can_run = stage.missing == unmade;
  stages_.set_state(stage, can_run ? StageState::kPending : StageState::kFailed);
  out.push_back(SaveStage{key});
  if (can_run) {
    doom_if_input_failed(stage);
  } else {
    fail_dependents(stage, stage.stored.error, out);
  }
  return out;
}

void Reactor::stop() {
  stopping_ = true;
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

bool Reactor::all_settled() const {
  return !any_future_work();
}

bool Reactor::any_gang() const {
  return std::any_of(gangs_.begin(), gangs_.end(),
                     [](const auto& item) { return item.second.state != GangState::kLost; });
}

}  // namespace finescale
