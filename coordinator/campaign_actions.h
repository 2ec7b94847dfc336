// SPDX-License-Identifier: Apache-2.0
// Carries out what the reactor wants done: launches and kills gangs, leases stages, publishes
// artifacts, answers calls. Each durable step is stored before it is answered.
#pragma once

#include <cstdint>
#include <string>

#include "comm/rpc/server.h"
#include "configs/schema/sweep.pb.h"
#include "coordinator/campaign_book.h"
#include "coordinator/campaign_status.h"
#include "coordinator/launchers/launcher.h"
#include "coordinator/reactor.h"
#include "core/clock.h"
#include "core/log.h"

namespace finescale {

// Everything that an action may touch; all of it outlives the actions.
struct CampaignParts {
  const config::Resources& resources;
  CampaignBook& book;
  Reactor& reactor;
  Launcher& launcher;
  RpcServer& server;
  CampaignStatus& status;
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
