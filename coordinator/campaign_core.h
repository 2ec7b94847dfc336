// SPDX-License-Identifier: Apache-2.0
// A campaign without sockets, signals and clocks: calls of gangs, ends of gangs and ticks come in;
// reactor, book, launcher and artifacts do the rest. `run` feeds it from the network, `simulate`
// from an event queue. One thread.
#pragma once

#include "comm/rpc/server.h"
#include "coordinator/campaign_actions.h"

namespace finescale {

[[nodiscard]] ReactorOptions reactor_options(const config::Resources& resources,
                                             std::int64_t coordinator_epoch);

class CampaignCore {
 public:
  explicit CampaignCore(const CampaignParts& parts) : parts_(parts), actions_(parts) {}

  // Plans, and takes over what an earlier coordinator left: stages, leases, gangs.
  void start();
  // A gang's call; control requests are the caller's.
  void handle(const RpcRequest& request);
  void gang_ended(const GangExit& exit);
  void gang_begun(std::int64_t gang);
  void tick();
  // Puts on disk what the calls since the last time have changed, in one transaction, then answers
  // them. False: the disk is full or fails; everything waits for the next time.
  [[nodiscard]] bool flush() { return actions_.flush(); }
  // Stops the stages of these trials that no other trial needs.
  void stop_trials(const std::set<std::string>& names);
  // Nothing is left to do, to be written, and nobody is left to do it.
  [[nodiscard]] bool is_over() const;

 private:
  void adopt_gangs();
  void commit(std::uint64_t request, const proto::CommitRequest& message, double now);
  // What the results so far decide; the plan grows by it.
  void decide();
  void decide_tuning();
  void decide_search();

  CampaignParts parts_;
  CampaignActions actions_;
  std::int64_t decided_at_ = -1;  // settled stages when it was last asked
};

}  // namespace finescale
