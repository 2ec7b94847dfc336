// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_core.h"

#include <variant>

#include "core/error.h"
#include "core/overloaded.h"

namespace finescale {

ReactorOptions reactor_options(const config::Resources& resources, std::int64_t coordinator_epoch) {
  ReactorOptions o;
  o.gangs = resources.gangs();
  o.max_attempts = resources.max_attempts();
  o.heartbeat_timeout = resources.heartbeat_timeout();
  o.retry_delay = resources.retry_delay();
  o.retry_delay_max = resources.retry_delay_max();
  o.coordinator_epoch = coordinator_epoch;
  if (resources.launcher().has_pool()) {
    o.queued_gangs = true;
    o.idle_timeout = resources.launcher().pool().idle();
  }
  return o;
}

void CampaignCore::start() {
  parts_.book.load(parts_.reactor, parts_.clock.now());
  parts_.reactor.reserve_gangs(parts_.book.last_gang());
  adopt_gangs();
}

void CampaignCore::adopt_gangs() {
  for (const StoredGang& gang : parts_.book.gangs()) {
    if (parts_.launcher.adopt(actions_.gang_launch(gang.id), gang.pid)) {
      parts_.logger.info("gang {} of the coordinator before is alive", gang.id);
      parts_.reactor.adopt_gang(gang.id, parts_.clock.now());
    } else {
      parts_.book.remove_gang(gang.id);
    }
  }
}

void CampaignCore::handle(const RpcRequest& request) {
  const double now = parts_.clock.now();
  Reactor& reactor = parts_.reactor;
  std::visit(Overloaded{
                 [&](const proto::RegisterRequest& m) {
                   actions_.carry_out(reactor.on_register(request.id, m, now));
                 },
                 [&](const proto::NextRequest& m) {
                   decide();  // what the last commit settled may be what this gang does next
                   actions_.carry_out(reactor.on_next(request.id, m, now));
                 },
                 [&](const proto::HeartbeatRequest& m) {
                   actions_.carry_out(reactor.on_heartbeat(request.id, m, now));
                 },
                 [&](const proto::CommitRequest& m) { commit(request.id, m, now); },
                 [&](const proto::FailRequest& m) {
                   proto::FailRequest heard = m;
                   if (m.kind() != error_kind_name(ErrorKind::kComm) &&
                       actions_.renew_damaged_inputs(m.key())) {
                     heard.set_kind(std::string(error_kind_name(ErrorKind::kCheckpoint)));
                   }
                   actions_.carry_out(reactor.on_fail(request.id, heard, now));
                 },
                 [](const proto::ControlRequest&) {
                   throw Error(ErrorKind::kInternal, "a control request is no gang's call");
                 },
             },
             request.message);
}

// With a question for the next order both are one answer, behind one transaction.
void CampaignCore::commit(std::uint64_t request, const proto::CommitRequest& message, double now) {
  if (!message.has_next()) {
    return actions_.carry_out(parts_.reactor.on_commit(request, message, now));
  }
  actions_.join_answers(request);
  actions_.carry_out(parts_.reactor.on_commit(request, message, now));
  proto::NextRequest next = message.next();
  *next.mutable_caller() = message.caller();
  decide();
  actions_.carry_out(parts_.reactor.on_next_at_once(request, next, now));
}

void CampaignCore::gang_ended(const GangExit& exit) {
  parts_.book.remove_gang(exit.gang);
  actions_.carry_out(parts_.reactor.on_gang_exit(exit.gang, exit.code, exit.reason,
                                                 parts_.clock.now(), exit.is_blameless));
}

void CampaignCore::gang_begun(std::int64_t gang) {
  parts_.reactor.on_gang_begun(gang, parts_.clock.now());
}

void CampaignCore::tick() {
  decide();
  actions_.carry_out(parts_.reactor.on_tick(parts_.clock.now()));
}

bool CampaignCore::is_over() const {
  return actions_.is_flushed() && !parts_.reactor.any_gang() && parts_.reactor.all_settled() &&
         parts_.book.all_resolved(parts_.reactor);
}

void CampaignCore::decide() {
  const std::int64_t settled = parts_.reactor.num_settled();
  if (settled == decided_at_ || !parts_.book.decides_by_results()) {
    return;
  }
  if (!flush()) {
    return;  // what is decided by results must not be on disk before them
  }
  decided_at_ = settled;
  decide_tuning();
  decide_search();
}

void CampaignCore::decide_tuning() {
  const std::vector<TuningDecision> decisions = parts_.book.decide_tuning(parts_.reactor);
  for (const TuningDecision& decision : decisions) {
    for (const auto& [path, value] : decision.values) {
      if (parts_.status != nullptr) {
        parts_.status->clear_line();
      }
      parts_.logger.info("tuned {}: {} = {} ({} {:.5g})", decision.group, path, value,
                         parts_.sweep.tune().metric(), decision.metric);
    }
  }
  if (!decisions.empty()) {
    parts_.book.load(parts_.reactor, parts_.clock.now());
  }
}

void CampaignCore::decide_search() {
  const std::size_t trials = parts_.book.decide_search(parts_.reactor);
  if (trials == 0) {
    return;
  }
  if (parts_.status != nullptr) {
    parts_.status->clear_line();
  }
  parts_.logger.info("the search adds {} {}", trials, trials == 1 ? "trial" : "trials");
  parts_.book.load(parts_.reactor, parts_.clock.now());
}

void CampaignCore::stop_trials(const std::set<std::string>& names) {
  std::set<std::string> needed;
  const StageGraph& graph = parts_.book.graph();
  for (const PlannedTrial& trial : parts_.book.trials()) {
    if (!names.contains(trial.id) && !parts_.book.is_stopped(trial.id)) {
      needed.merge(with_inputs(trial.stages, graph));
    }
  }
  for (const PlannedTrial& trial : parts_.book.trials()) {
    if (!names.contains(trial.id)) {
      continue;
    }
    for (const std::string& key : with_inputs(trial.stages, graph)) {
      if (!needed.contains(key)) {
        actions_.carry_out(parts_.reactor.stop_stage(key));
      }
    }
    parts_.book.put_stopped(trial);
  }
  decided_at_ = -1;
}

}  // namespace finescale
