// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulation/simulated_cluster.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

#include "core/overloaded.h"

namespace finescale {

namespace {

constexpr double kLaunchSeconds = 1;    // mpirun and MPI_Init
constexpr double kCallSeconds = 10;     // as real gangs wait for an answer
constexpr double kCommitSeconds = 120;  // for a commit
constexpr double kAnswerSeconds = 30;   // calls that are under way when a coordinator dies
constexpr double kRetrySeconds = 1;     // between calls to a coordinator that is not there
constexpr double kExitSeconds = 0.2;    // until a launcher tells of an end
constexpr double kBeatsPerTimeout = 6;
constexpr int kMostStages = 64;     // of an order, as real gangs ask
constexpr double kLateSeconds = 2;  // for an order of several

}  // namespace

void SimulatedCluster::push(double delay, Event event) {
  event.at = clock_.true_now() + delay;
  event.number = ++num_events_;
  events_.push_back(std::move(event));
  std::push_heap(events_.begin(), events_.end(), Later());
}

void SimulatedCluster::schedule(double delay, What what, const Gang& gang) {
  Event event;
  event.what = what;
  event.gang = gang.id;
  event.serial = gang.serial;
  push(delay, std::move(event));
}

void SimulatedCluster::wake_at(double true_time) {
  push(true_time - clock_.true_now(), Event{});
}

bool SimulatedCluster::step(std::optional<RpcRequest>& call) {
  call.reset();
  if (events_.empty()) {
    return false;
  }
  std::pop_heap(events_.begin(), events_.end(), Later());
  Event event = std::move(events_.back());
  events_.pop_back();
  clock_.set(std::max(clock_.true_now(), event.at));
  happen(event, call);
  return true;
}

void SimulatedCluster::happen(Event& event, std::optional<RpcRequest>& call) {
  if (event.what == What::kWake) {
    return;
  }
  if (event.what == What::kCall) {  // on its way whatever became of its gang
    return arrive(event, call);
  }
  const auto found = gangs_.find(event.gang);
  if (found == gangs_.end() || found->second.doing == Doing::kDead) {
    return;
  }
  Gang& gang = found->second;
  const bool is_current = event.serial == gang.serial;
  switch (event.what) {
    case What::kWake:
    case What::kCall:
      return;
    case What::kLaunched:
      return enroll(gang);
    case What::kAnswer:
      if (event.serial == gang.call && !gang.is_silent) {
        gang.call = 0;
        hear(gang, *event.reply);
      }
      return;
    case What::kTimeout:
      if (event.serial == gang.call && !gang.is_silent) {
        gang.call = 0;
        enroll(gang);
      }
      return;
    case What::kBeat:
      if (is_current && !gang.is_silent && !gang.key.empty()) {
        if (gang.doing == Doing::kWorking) {
          save_progress(gang);
        }
        proto::HeartbeatRequest beat;
        beat.set_key(gang.key);
        beat.set_epoch(gang.lease);
        if (gang.call == 0) {
          send(gang, std::move(beat), kCallSeconds);
        }
        schedule(options_.heartbeat_timeout / kBeatsPerTimeout, What::kBeat, gang);
      }
      return;
    case What::kDone:
      if (is_current && !gang.is_silent) {
        done(gang);
      }
      return;
    case What::kFlushed:
      if (is_current && !gang.is_silent && !gang.has_committed) {
        commit(gang);
      }
      return;
    case What::kFail:
      if (is_current && !gang.is_silent) {
        fail(gang);
      }
      return;
    case What::kDie:
      if (is_current) {
        die(gang, 137);
      }
      return;
    case What::kHang:
      if (is_current) {
        save_progress(gang);
        gang.is_silent = true;
      }
      return;
    case What::kWakeUp:
      if (is_current) {  // it does not know that time has passed
        gang.is_silent = false;
        done(gang);
      }
      return;
  }
}

// With what it holds, if anything, to the coordinator that there is now.
void SimulatedCluster::enroll(Gang& gang) {
  if (gang.silent_since < 0) {
    gang.silent_since = clock_.true_now();
  }
  if (clock_.true_now() - gang.silent_since > options_.orphan_timeout + kAnswerSeconds) {
    return die(gang, 143);
  }
  if (epoch_ == 0) {
    return schedule(kRetrySeconds, What::kLaunched, gang);
  }
  gang.epoch = epoch_;
  if (gang.doing != Doing::kWorking && gang.doing != Doing::kCommitting) {
    gang.doing = Doing::kRegistering;
  }
  proto::RegisterRequest request;
  request.set_ranks(1);
  request.set_host("host-" + std::to_string(gang.id));
  request.set_held_key(gang.key);
  request.set_held_epoch(gang.lease);
  const auto hold = [&](const std::string& key, std::int64_t lease) {
    proto::HeldLease& held = *request.add_also_held();
    held.set_key(key);
    held.set_epoch(lease);
  };
  for (const proto::NextReply& order : gang.queue) {
    hold(stage_of_attempt(order.attempt_dir()), order.epoch());
  }
  for (const Finished& one : gang.finished) {
    hold(one.key, one.lease);
  }
  send(gang, std::move(request), kCallSeconds);
}

void SimulatedCluster::ask(Gang& gang) {
  gang.doing = Doing::kAsking;
  proto::NextRequest request;
  request.set_most(kMostStages);
  send(gang, std::move(request), kCallSeconds);
}

// With its order, or for another one.
void SimulatedCluster::go_on(Gang& gang) {
  if (!gang.queue.empty()) {
    const proto::NextReply order = std::move(gang.queue.front());
    gang.queue.pop_front();
    return begin(gang, order);
  }
  return gang.finished.empty() ? ask(gang) : flush(gang);
}

void SimulatedCluster::hear(Gang& gang, const RpcReply& reply) {
  gang.silent_since = -1;
  std::visit(
      Overloaded{
          [&](const proto::RegisterReply& m) {
            if (!m.accepted()) {
              return die(gang, 143);
            }
            const bool keeps = m.keep_lease() && !gang.key.empty();
            if (keeps && gang.doing == Doing::kCommitting) {
              return gang.has_failed ? fail(gang) : commit(gang);
            }
            if (!keeps) {
              drop_stage(gang, !gang.key.empty());
              go_on(gang);
            }
          },
          [&](const proto::NextReply& m) { on_order(gang, m); },
          [&](const proto::HeartbeatReply& m) {
            if (m.action() == proto::HeartbeatReply::ABANDON && gang.doing == Doing::kWorking) {
              drop_stage(gang, true);
              go_on(gang);
            }
          },
          [&](const proto::FailReply&) {
            drop_stage(gang, true);
            go_on(gang);
          },
          [&](const proto::CommitReply& m) { committed(gang, m); },
          [](const auto&) {},
      },
      reply);
}

void SimulatedCluster::on_order(Gang& gang, const proto::NextReply& order) {
  switch (order.order()) {
    case proto::NextReply::EXIT:
      return die(gang, 0);
    case proto::NextReply::WAIT:
      return ask(gang);
    case proto::NextReply::RUN:
      break;
  }
  gang.queue.assign(order.more().begin(), order.more().end());
  gang.ordered_at = clock_.true_now();
  begin(gang, order);
}

void SimulatedCluster::begin(Gang& gang, const proto::NextReply& order) {
  const std::string& directory = order.attempt_dir();
  gang.key = stage_of_attempt(directory);
  gang.lease = order.epoch();
  gang.directory = directory;
  StageDuty duty = duty_of_(gang.key);
  gang.resumed_seconds = 0;
  for (const std::string& place : order.resume_dirs()) {
    gang.resumed_seconds = std::max(gang.resumed_seconds, artifacts_.saved_seconds(place));
  }
  gang.seconds = std::max(0.0, duty.seconds - gang.resumed_seconds);
  gang.result = std::move(duty.result);
  gang.begun = clock_.true_now();
  gang.doing = Doing::kWorking;
  ++gang.serial;
  schedule(gang.seconds, What::kDone, gang);
  const double beat = options_.heartbeat_timeout / kBeatsPerTimeout;
  if (gang.seconds > beat) {
    schedule(beat, What::kBeat, gang);
  }
  begin_faults(gang, order);
}

void SimulatedCluster::begin_faults(Gang& gang, const proto::NextReply& order) {
  const double when = gang.seconds * faults_.random().uniform();
  if (order.input_dirs_size() > 0 && meets(Fault::kRot, gang)) {
    const std::string& input = order.input_dirs(0);
    artifacts_.rot(input.substr(input.rfind('/') + 1));
    gang.failure = "checkpoint";
    schedule(0, What::kFail, gang);
  } else if (meets(Fault::kFail, gang)) {
    gang.failure = faults_.random().uniform() < 0.5 ? "data" : "io";
    schedule(when, What::kFail, gang);
  } else if (meets(Fault::kKill, gang)) {
    schedule(when, What::kDie, gang);
  } else if (meets(Fault::kHang, gang)) {
    schedule(when, What::kHang, gang);
  } else if (meets(Fault::kZombie, gang)) {
    schedule(when, What::kHang, gang);
    schedule(when + 3 * options_.heartbeat_timeout, What::kWakeUp, gang);
  }
}

// Its newest checkpoint is at most save_seconds old.
void SimulatedCluster::save_progress(Gang& gang) {
  const double worked = std::min(gang.seconds, clock_.true_now() - gang.begun);
  const double saved = std::floor(worked / options_.save_seconds) * options_.save_seconds;
  if (gang.resumed_seconds + saved > 0) {
    artifacts_.attempt(gang.directory).saved_seconds = gang.resumed_seconds + saved;
  }
}

// It stays with it until the coordinator has heard of it, or it has another stage.
void SimulatedCluster::fail(Gang& gang) {
  gang.doing = Doing::kCommitting;
  gang.has_failed = true;
  proto::FailRequest request;
  request.set_key(gang.key);
  request.set_epoch(gang.lease);
  request.set_kind(gang.failure);
  request.set_message("a simulated failure");
  send(gang, std::move(request), kCallSeconds);
}

// Its stage is; there may be more of the order, which others get when it has taken long.
void SimulatedCluster::done(Gang& gang) {
  const bool is_late = clock_.true_now() - gang.ordered_at > kLateSeconds;
  for (const proto::NextReply& order : is_late ? gang.queue : std::deque<proto::NextReply>()) {
    Finished back{stage_of_attempt(order.attempt_dir()), order.epoch(), "", 0, {}};
    back.result.set_outcome(proto::StageResult::STOPPED);
    gang.finished.push_back(std::move(back));
  }
  if (is_late) {
    gang.queue.clear();
  }
  if (gang.queue.empty()) {
    return flush(gang);
  }
  gang.finished.push_back({gang.key, gang.lease, gang.directory, gang.seconds, gang.result});
  drop_stage(gang, false);
  go_on(gang);
}

void SimulatedCluster::flush(Gang& gang) {
  gang.doing = Doing::kCommitting;
  const bool is_slow = meets(Fault::kSlow, gang);
  schedule(is_slow ? 3 * options_.heartbeat_timeout * faults_.random().uniform() : 0,
           What::kFlushed, gang);
}

proto::CommitRequest SimulatedCluster::part(const Finished& finished) {
  proto::CommitRequest request;
  request.set_key(finished.key);
  request.set_epoch(finished.lease);
  request.set_attempt_dir(finished.directory);
  request.mutable_result()->set_outcome(finished.result.outcome());
  if (finished.result.outcome() == proto::StageResult::STOPPED) {
    referee_.gives_back(finished.key, finished.lease);
    return request;
  }
  SimulatedAttempt& attempt = artifacts_.attempt(finished.directory);
  if (!attempt.is_complete) {
    attempt.result = finished.result;
    attempt.is_complete = true;
    attempt.is_torn = faults_.happens(Fault::kTorn);
    if (attempt.is_torn) {
      referee_.touched(Fault::kTorn, finished.key);
    }
  }
  return request;
}

// Its stage, if it has one, and what is finished.
void SimulatedCluster::commit(Gang& gang) {
  gang.has_committed = true;
  std::vector<Finished> parts;
  if (!gang.key.empty()) {
    parts.push_back({gang.key, gang.lease, gang.directory, gang.seconds, gang.result});
  }
  parts.insert(parts.end(), gang.finished.begin(), gang.finished.end());
  proto::CommitRequest request = part(parts.front());
  for (std::size_t i = 1; i < parts.size(); ++i) {
    *request.add_more() = part(parts[i]);
  }
  request.mutable_next()->set_most(kMostStages);
  send(gang, std::move(request), kCommitSeconds);
}

void SimulatedCluster::committed(Gang& gang, const proto::CommitReply& reply) {
  std::vector<bool> accepted = {reply.accepted()};
  for (const proto::CommitReply& part : reply.more()) {
    accepted.push_back(part.accepted());
  }
  std::size_t at = gang.key.empty() ? 0 : 1;
  for (const Finished& finished : std::exchange(gang.finished, {})) {
    const bool is_lost = at >= accepted.size() || !accepted[at];
    lost_seconds_ += is_lost ? finished.seconds : 0;
    ++at;
  }
  drop_stage(gang, !reply.accepted() && !gang.key.empty());
  on_order(gang, reply.next());
}

void SimulatedCluster::drop_stage(Gang& gang, bool is_lost) {
  if (is_lost) {
    const double worked = std::min(gang.seconds, clock_.true_now() - gang.begun);
    const double saved = artifacts_.saved_seconds(gang.directory) - gang.resumed_seconds;
    lost_seconds_ += std::max(0.0, worked - std::max(0.0, saved));
  }
  gang.key.clear();
  gang.lease = 0;
  gang.has_committed = false;
  gang.has_failed = false;
  ++gang.serial;
}

void SimulatedCluster::die(Gang& gang, int code) {
  drop_stage(gang, !gang.key.empty());
  gang.queue.clear();
  for (const Finished& finished : std::exchange(gang.finished, {})) {
    lost_seconds_ += finished.seconds;
  }
  gang.doing = Doing::kDead;
  calls_.erase(gang.call);
  exits_.push_back({gang.id, code, ""});
  push(kExitSeconds, Event{});
}

std::int64_t SimulatedCluster::start(const GangLaunch& launch) {
  Gang gang;
  gang.id = launch.gang;
  gang.launched_by = epoch_;
  gangs_[gang.id] = gang;
  const auto num_starting = std::count_if(gangs_.begin(), gangs_.end(), [&](const auto& item) {
    return item.second.doing == Doing::kStarting && item.second.launched_by == epoch_;
  });
  if (epoch_ != 0 && num_starting > options_.gangs) {
    referee_.violation("gang " + std::to_string(gang.id), "was launched beside as many as wanted");
  }
  schedule(kLaunchSeconds * (1 + faults_.random().uniform()), What::kLaunched, gang);
  return gang.id;
}

bool SimulatedCluster::adopt(const GangLaunch& launch, std::int64_t /*pid*/) {
  const auto found = gangs_.find(launch.gang);
  return found != gangs_.end() && found->second.doing != Doing::kDead;
}

std::vector<GangExit> SimulatedCluster::ended() {
  return std::exchange(exits_, {});
}

// A gang that hangs for a while cannot be reached by a kill either: its node is cut off.
void SimulatedCluster::kill(std::int64_t id) {
  const auto found = gangs_.find(id);
  if (found == gangs_.end()) {
    return;
  }
  Gang& gang = found->second;
  gang.is_given_up = true;
  if (gang.spoke_at >= 0 && clock_.now() - gang.spoke_at < 0.9 * options_.heartbeat_timeout) {
    referee_.violation("gang " + std::to_string(id), "was killed although it spoke");
  }
  if (gang.doing != Doing::kDead && !gang.is_silent) {
    die(gang, 137);
  }
}

}  // namespace finescale
