// SPDX-License-Identifier: Apache-2.0
// Gangs that call: they register, ask for work, say that they are alive.
#include <utility>

#include "coordinator/reactor.h"

namespace finescale {

namespace {

constexpr double kHoldSeconds = 1;  // a Next without work is answered WAIT after this long

template <class R>
void reply(Outbox& out, std::uint64_t request, R message) {
  out.push_back(Reply{request, std::move(message)});
}

}  // namespace

// Null: unknown, given up, or a gang that was told another coordinator epoch.
GangEntry* Reactor::known(const proto::Caller& caller) {
  return caller.coordinator_epoch() == options_.coordinator_epoch ? gangs_.find(caller.gang())
                                                                  : nullptr;
}

Outbox Reactor::on_register(std::uint64_t request, const proto::RegisterRequest& message,
                            double now) {
  Outbox out;
  proto::RegisterReply answer;
  GangEntry* gang = known(message.caller());
  if (gang == nullptr || GangTable::is_late(*gang, message.caller())) {
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
  stop_waiting(*gang, proto::NextReply::WAIT, out);  // it has given up that call
  gang->host = message.host();
  gang->ranks = message.ranks();
  answer.set_accepted(true);
  const std::vector<StageEntry*> held = held_by(*gang, message);
  StageEntry* first = leased(message.held_key(), message.held_epoch(), gang->id);
  answer.set_keep_lease(first != nullptr);
  if (first != nullptr) {
    first->last_heartbeat = now;
    gang->key = message.held_key();
  }
  gangs_.set_state(*gang, held.empty() ? GangState::kIdle : GangState::kRunning);
  watch_within(options_.heartbeat_timeout, now);
  end_leases(*gang, "the gang lost its lease", now, out, held);
  reply(out, request, answer);
  return out;
}

std::vector<StageEntry*> Reactor::held_by(const GangEntry& gang,
                                          const proto::RegisterRequest& message) {
  std::vector<StageEntry*> held;
  const auto add = [&](const std::string& key, std::int64_t epoch) {
    if (StageEntry* stage = leased(key, epoch, gang.id); stage != nullptr) {
      held.push_back(stage);
    }
  };
  add(message.held_key(), message.held_epoch());
  for (const proto::HeldLease& also : message.also_held()) {
    add(also.key(), also.epoch());
  }
  return held;
}

Outbox Reactor::on_next(std::uint64_t request, const proto::NextRequest& message, double now) {
  Outbox out;
  GangEntry* gang = known(message.caller());
  if (gang == nullptr || gang->state == GangState::kLaunching) {
    proto::NextReply answer;
    answer.set_order(proto::NextReply::EXIT);
    reply(out, request, answer);
    return out;
  }
  if (GangTable::is_late(*gang, message.caller())) {
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
  gangs_.set_state(*gang, GangState::kIdle);
  stop_waiting(*gang, proto::NextReply::WAIT, out);
  gangs_.wait(*gang, request, now);
  gang->most = message.most();
  serve_waiting(now, out);
  return out;
}

Outbox Reactor::on_next_at_once(std::uint64_t request, const proto::NextRequest& message,
                                double now) {
  Outbox out = on_next(request, message, now);
  if (GangEntry* gang = known(message.caller()); gang != nullptr && gang->waiting == request) {
    stop_waiting(*gang, proto::NextReply::WAIT, out);
  }
  return out;
}

// No call stays open for ever.
void Reactor::stop_waiting(GangEntry& gang, proto::NextReply::Order order, Outbox& out) {
  if (gang.waiting != 0) {
    proto::NextReply message;
    message.set_order(order);
    reply(out, gangs_.stop_waiting(gang), message);
  }
}

void Reactor::serve_waiting(double now, Outbox& out) {
  const std::set<std::int64_t>& waiting = gangs_.waiting();
  for (auto at = waiting.begin(); at != waiting.end();) {
    GangEntry* gang = gangs_.find(*at++);  // one that is answered leaves the set
    if (gang != nullptr && gang->state == GangState::kIdle) {
      serve(*gang, now, out);
    }
  }
}

void Reactor::serve(GangEntry& gang, double now, Outbox& out) {
  if (stopping_ || !any_future_work()) {
    return stop_waiting(gang, proto::NextReply::EXIT, out);
  }
  if (StageEntry* stage = stages_.best_ready(gang.key, now); stage != nullptr) {
    out.push_back(orders_.make(gang, *stage, now));
  } else if (now - gang.idle_since > options_.idle_timeout) {
    stop_waiting(gang, proto::NextReply::EXIT, out);
  } else if (now - gang.waiting_since > kHoldSeconds) {
    stop_waiting(gang, proto::NextReply::WAIT, out);
  }
}

Outbox Reactor::on_heartbeat(std::uint64_t request, const proto::HeartbeatRequest& message,
                             double now) {
  Outbox out;
  proto::HeartbeatReply answer;
  answer.set_action(proto::HeartbeatReply::GO_ON);
  GangEntry* gang = known(message.caller());
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

}  // namespace finescale
