// SPDX-License-Identifier: Apache-2.0
// The book of a campaign: its sweep, its plan, and the store, which it alone writes. What the book
// says has been committed. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/content_hashes.h"
#include "coordinator/plan.h"
#include "coordinator/reactor.h"
#include "coordinator/store.h"
#include "coordinator/tuning.h"

namespace finescale {

class CampaignBook {
 public:
  // Takes the store's lock. `sweep` must outlive the book.
  CampaignBook(const config::Sweep& sweep, const std::string& directory);

  // Checks sweep and data against what the campaign holds, then raises the coordinator epoch.
  // Throws kConfig, with nothing written, when they do not belong to it; `extend`: it may have
  // grown.
  void open(bool extend, double unix_now);
  // Brings store and reactor to the plan.
  void load(Reactor& reactor, double now);
  // Stores what the finished tuning trials decide; then the plan has more stages: load again.
  [[nodiscard]] std::vector<TuningDecision> decide_tuning(const Reactor& reactor);

  void put_stage(const StoredStage& stage);
  void put_gang(std::int64_t id, std::int64_t pid);
  void remove_gang(std::int64_t id);
  void put_stopped(const PlannedTrial& trial);

  [[nodiscard]] std::vector<StoredGang> gangs() { return store_.gangs(); }
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] std::int64_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] std::int64_t stages_unshared() const noexcept { return plan_.stages_unshared; }
  [[nodiscard]] const std::vector<PlannedTrial>& trials() const noexcept { return plan_.trials; }
  [[nodiscard]] const std::vector<std::string>& stopped() const noexcept { return stopped_; }
  [[nodiscard]] bool is_stopped(const std::string& trial) const;

  // Tuning groups that nothing will decide any more.
  [[nodiscard]] std::set<std::string> lost_groups(const Reactor& reactor) const;
  // No trial waits for a tuning decision that may still come.
  [[nodiscard]] bool all_resolved(const Reactor& reactor) const;
  [[nodiscard]] bool any_failed(const Reactor& reactor) const;

 private:
  void make_stored_plan();
  void settle(StoredStage& stage, bool is_needed) const;
  void put_plan(const Reactor& reactor, std::map<std::string, StoredStage>& stages);

  const config::Sweep& sweep_;
  std::string directory_;
  Store store_;
  ContentHashes hashes_;
  std::int64_t epoch_ = 0;
  TunedValues tuned_;
  Plan plan_;
  std::vector<std::string> stopped_;
};

}  // namespace finescale
