// SPDX-License-Identifier: Apache-2.0
// Carries out what the reactor wants done: launches and kills gangs, leases stages, publishes
// artifacts, answers calls. Changes gather in a group; what rests on them (answers, the removal of
// attempts) waits until the group is on disk.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "comm/rpc/server.h"
#include "configs/schema/sweep.pb.h"
#include "coordinator/artifacts.h"
#include "coordinator/campaign_book.h"
#include "coordinator/campaign_status.h"
#include "coordinator/coordinator_claim.h"
#include "coordinator/launchers/launcher.h"
#include "coordinator/reactor.h"
#include "core/clock.h"
#include "core/log.h"

namespace finescale {

// Where answers to gangs go.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  virtual void answer(std::uint64_t request, RpcReply reply) = 0;

 protected:
  AnswerSink() = default;
  AnswerSink(const AnswerSink&) = default;
  AnswerSink& operator=(const AnswerSink&) = default;
};

// Everything that an action may touch; all of it outlives the actions.
struct CampaignParts {
  const config::Sweep& sweep;
  CampaignBook& book;
  Reactor& reactor;
  Launcher& launcher;
  Artifacts& artifacts;
  AnswerSink& answers;
  CampaignStatus* status;  // null: nobody watches
  const Clock& clock;
  Logger& logger;
  CoordinatorClaim* claim = nullptr;  // null: nobody else can have the campaign
};

class CampaignActions {
 public:
  explicit CampaignActions(const CampaignParts& parts) : parts_(parts) {}

  void carry_out(const Outbox& outbox);
  // This call commits and asks for the next order: what is said to the first is kept, and goes out
  // with what is said to the second, before any other call is handled.
  void join_answers(std::uint64_t request) { joined_ = request; }
  // Writes the group, then does what waited for it. False: it is not on disk yet; try again.
  // Throws what the claim throws: the write may have taken long.
  [[nodiscard]] bool flush();
  // A change may rest in the group although nobody waits for it.
  [[nodiscard]] bool is_flushed() const noexcept {
    return waiting_.empty() && parts_.book.is_flushed();
  }
  // After a failure of this stage: whether one of its inputs is damaged. Such an input is made
  // again.
  bool renew_damaged_inputs(const std::string& key);
  [[nodiscard]] GangLaunch gang_launch(std::int64_t id) const;

 private:
  void launch(std::int64_t id);
  void save(const std::string& key);
  void say_doomed();
  void order(const Order& action);
  [[nodiscard]] proto::NextReply run_order(const std::string& key);
  void publish(const Publish& action);
  [[nodiscard]] proto::CommitReply publish(const proto::CommitRequest& commit);
  void report_done(const std::string& key);

  // Once everything up to here is on disk.
  void when_stored(std::function<void()> action) { waiting_.push_back(std::move(action)); }
  // ordered: stages of an order, part by part.
  void answer_when_stored(std::uint64_t request, RpcReply reply,
                          std::vector<std::string> ordered = {});
  void name_older_attempts(const std::vector<std::string>& keys, RpcReply& reply);

  CampaignParts parts_;
  std::vector<std::function<void()>> waiting_;
  std::vector<const StageEntry*> doomed_;  // failed by their inputs in this outbox
  std::uint64_t joined_ = 0;  // the call whose commit_reply_ waits for an order; 0: none
  proto::CommitReply commit_reply_;
  bool is_stuck_ = false;  // the last flush failed
};

}  // namespace finescale
