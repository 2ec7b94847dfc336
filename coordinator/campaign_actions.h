// SPDX-License-Identifier: Apache-2.0
// Carries out what the reactor wants done: launches and kills gangs, leases stages, publishes
// artifacts, answers calls. Each durable step is stored before it is answered.
#pragma once

#include <cstdint>
#include <string>

#include "comm/rpc/server.h"
#include "configs/schema/sweep.pb.h"
#include "coordinator/artifacts.h"
#include "coordinator/campaign_book.h"
#include "coordinator/campaign_status.h"
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
};

class CampaignActions {
 public:
  explicit CampaignActions(const CampaignParts& parts) : parts_(parts) {}

  void carry_out(const Outbox& outbox);
  [[nodiscard]] GangLaunch gang_launch(std::int64_t id) const;

 private:
  void launch(std::int64_t id);
  void save(const std::string& key);
  void order(const Order& action);
  void publish(const Publish& action);
  void report_done(const std::string& key);

  CampaignParts parts_;
};

}  // namespace finescale
