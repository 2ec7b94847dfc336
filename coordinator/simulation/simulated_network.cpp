// SPDX-License-Identifier: Apache-2.0
// Calls on their way to the coordinator and back, and what the referee thinks of the answers.
#include <algorithm>
#include <utility>
#include <variant>

#include "coordinator/simulation/simulated_cluster.h"
#include "core/overloaded.h"

namespace finescale {

namespace {

constexpr double kLatency = 0.0005;  // of a message

std::vector<std::string> commits_of(const RpcMessage& message) {
  std::vector<std::string> keys;
  const auto add = [&](const proto::CommitRequest& part) {
    const bool is_begun = part.result().outcome() != proto::StageResult::STOPPED;
    keys.push_back(is_begun ? part.key() : "");
  };
  if (const auto* commit = std::get_if<proto::CommitRequest>(&message); commit != nullptr) {
    add(*commit);
    for (const proto::CommitRequest& part : commit->more()) {
      add(part);
    }
  }
  return keys;
}

// Whether the answer grants nothing.
bool refuses(const RpcReply& reply) {
  return std::visit(
      Overloaded{
          [](const proto::RegisterReply& m) { return !m.accepted(); },
          [](const proto::NextReply& m) { return m.order() == proto::NextReply::EXIT; },
          [](const proto::HeartbeatReply& m) {
            return m.action() == proto::HeartbeatReply::ABANDON;
          },
          [](const proto::CommitReply& m) {
            const bool orders = m.has_next() && m.next().order() != proto::NextReply::EXIT;
            return !orders && !m.accepted() &&
                   std::none_of(m.more().begin(), m.more().end(),
                                [](const auto& part) { return part.accepted(); });
          },
          [](const auto&) { return true; },
      },
      reply);
}

}  // namespace

proto::Caller SimulatedCluster::caller(const Gang& gang) const {
  proto::Caller caller;
  caller.set_gang(gang.id);
  caller.set_coordinator_epoch(gang.epoch);
  return caller;
}

// A call, and what may become of it: it is lost, or arrives twice. `timeout`: of the gang.
void SimulatedCluster::send(Gang& gang, RpcMessage message, double timeout) {
  std::visit(Overloaded{
                 [](proto::ControlRequest&) {},
                 [&](auto& request) {
                   *request.mutable_caller() = caller(gang);
                   request.mutable_caller()->set_number(++gang.number);
                 },
             },
             message);
  Event event;
  event.what = What::kCall;
  event.gang = gang.id;
  event.epoch = gang.epoch;
  event.call = std::make_unique<RpcRequest>(RpcRequest{++num_calls_, std::move(message)});
  gang.call = event.call->id;
  calls_[gang.call] = {gang.id, gang.key, gang.lease, gang.epoch, commits_of(event.call->message)};
  Event late;
  late.what = What::kTimeout;
  late.gang = gang.id;
  late.serial = gang.call;
  push(timeout, std::move(late));
  if (meets(Fault::kDuplicate, gang)) {
    Event again;
    again.what = What::kCall;
    again.gang = gang.id;
    again.epoch = gang.epoch;
    again.call = std::make_unique<RpcRequest>(*event.call);
    again.call->id = ++num_calls_;
    repeated_[again.call->id] = calls_[gang.call];
    push(kLatency * (2 + 1000 * faults_.random().uniform()), std::move(again));
  }
  if (!meets(Fault::kLose, gang)) {
    push(kLatency, std::move(event));
  }
}

// Whether the fault happens to what this gang does.
bool SimulatedCluster::meets(Fault fault, const Gang& gang) {
  if (!faults_.happens(fault)) {
    return false;
  }
  referee_.touched(fault, gang.key);
  for (const Finished& finished : gang.finished) {
    referee_.touched(fault, finished.key);
  }
  return true;
}

void SimulatedCluster::judge(const Call& call, const RpcReply& reply) {
  std::visit(Overloaded{
                 [&](const proto::RegisterReply& m) { judge_registration(call, m); },
                 [&](const proto::NextReply& m) { judge_order(m); },
                 [&](const proto::HeartbeatReply& m) {
                   if (m.action() == proto::HeartbeatReply::GO_ON && !call.key.empty()) {
                     referee_.went_on(call.key, call.was_over);
                   }
                 },
                 [&](const proto::CommitReply& m) {
                   for (std::size_t i = 0; i < call.commits.size(); ++i) {
                     const bool is_accepted =
                         i == 0 ? m.accepted() : m.more(static_cast<int>(i) - 1).accepted();
                     if (is_accepted && !call.commits[i].empty()) {
                       referee_.accepted(call.commits[i]);
                     }
                   }
                   if (m.has_next()) {
                     judge_order(m.next());
                   }
                 },
                 [](const auto&) {},
             },
             reply);
}

void SimulatedCluster::judge_order(const proto::NextReply& order) {
  if (order.order() != proto::NextReply::RUN) {
    return;
  }
  referee_.ordered(stage_of_attempt(order.attempt_dir()), order);
  for (const proto::NextReply& more : order.more()) {
    referee_.ordered(stage_of_attempt(more.attempt_dir()), more);
  }
}

// Nobody hears this answer, but it must be right: what it grants is granted.
void SimulatedCluster::judge_unheard(std::uint64_t request, const RpcReply& reply) {
  const auto call = repeated_.extract(request);
  if (std::holds_alternative<proto::NextReply>(reply) ||
      std::holds_alternative<proto::CommitReply>(reply)) {
    judge({}, reply);  // as an order
  } else if (std::holds_alternative<proto::HeartbeatReply>(reply) && !call.empty()) {
    judge(call.mapped(), reply);
  }
}

void SimulatedCluster::judge_registration(const Call& call, const proto::RegisterReply& reply) {
  Gang& gang = gangs_.at(call.gang);
  if (reply.accepted()) {
    gang.known_to = epoch_;
    if (reply.keep_lease()) {
      referee_.kept(call.key, call.lease);
    }
    return;
  }
  const bool was_known = gang.known_to != 0 && gang.known_to < epoch_ && !gang.is_given_up;
  if (was_known && clock_.true_now() - up_since_ < options_.heartbeat_timeout) {
    referee_.violation("gang " + std::to_string(gang.id), "was turned away by a new coordinator");
  }
}

void SimulatedCluster::answer(std::uint64_t request, RpcReply reply) {
  const auto found = calls_.find(request);
  if (older_calls_.erase(request) > 0 && !refuses(reply)) {
    referee_.violation("coordinator", "heard a call to an earlier one");
  }
  if (found == calls_.end()) {
    judge_unheard(request, reply);
    return;
  }
  judge(found->second, reply);
  Event event;
  event.what = What::kAnswer;
  event.gang = found->second.gang;
  const std::string key = std::move(found->second.key);
  event.serial = request;
  event.reply = std::make_unique<RpcReply>(std::move(reply));
  calls_.erase(found);
  if (faults_.happens(Fault::kLose)) {
    referee_.touched(Fault::kLose, key);
  } else {
    push(kLatency, std::move(event));
  }
}

// Another coordinator may have the port and the token of the one that was called; its answer finds
// nobody.
void SimulatedCluster::arrive(Event& event, std::optional<RpcRequest>& call) {
  if (epoch_ == 0) {
    return;
  }
  if (event.epoch != epoch_) {
    calls_.erase(event.call->id);
    older_calls_.insert(event.call->id);
  } else if (const auto found = calls_.find(event.call->id); found != calls_.end()) {
    gangs_.at(event.gang).spoke_at = clock_.now();
    found->second.was_over = referee_.is_over(found->second.key, found->second.lease);
  } else if (const auto again = repeated_.find(event.call->id); again != repeated_.end()) {
    again->second.was_over = referee_.is_over(again->second.key, again->second.lease);
  }
  call = std::move(*event.call);
}

}  // namespace finescale
