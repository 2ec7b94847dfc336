// SPDX-License-Identifier: Apache-2.0
// The book of a campaign: its sweep, its plan, and the store, which it alone writes. What the book
// says has been committed. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/artifacts.h"
#include "coordinator/content_hashes.h"
#include "coordinator/plan.h"
#include "coordinator/reactor.h"
#include "coordinator/store.h"
#include "coordinator/tuning.h"

namespace finescale {

struct BookOptions {
  ContentHash hash;     // of data files; empty: read them
  bool durable = true;  // false: a simulation's store need not survive the machine
};

class CampaignBook {
 public:
  // Takes the store's lock. `sweep` and `artifacts` must outlive the book.
  CampaignBook(const config::Sweep& sweep, const std::string& directory, Artifacts& artifacts,
               BookOptions options = {});

  // Checks sweep and data against what the campaign holds, then raises the coordinator epoch.
  // Throws kConfig, with nothing written, when they do not belong to it; `extend`: it may have
  // grown.
  void open(bool extend, double unix_now);
  // Brings store and reactor to the plan: what is new in it since the last time.
  void load(Reactor& reactor, double now);
  // Stores what the finished tuning trials decide; then the plan has more stages: load again.
  [[nodiscard]] std::vector<TuningDecision> decide_tuning(const Reactor& reactor);
  // Journals what a search decides by the results so far, and plans it; how many trials that is.
  // Load again.
  [[nodiscard]] std::size_t decide_search(const Reactor& reactor);

  void update_stage(const StoredStage& stage);
  [[nodiscard]] std::string spec_of(const std::string& key) { return store_.spec_of(key); }
  void put_gang(std::int64_t id, std::int64_t pid);
  void remove_gang(std::int64_t id);
  void put_stopped(const PlannedTrial& trial);

  [[nodiscard]] std::vector<StoredGang> gangs() { return store_.gangs(); }
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] std::int64_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] std::int64_t stages_unshared() const noexcept { return plan().stages_unshared; }
  [[nodiscard]] const std::vector<PlannedTrial>& trials() const noexcept { return plan().trials; }
  [[nodiscard]] const StageGraph& graph() const noexcept { return plan().graph; }
  [[nodiscard]] const std::vector<std::string>& stopped() const noexcept { return stopped_; }
  [[nodiscard]] bool is_stopped(const std::string& trial) const;

  // Tuning groups that nothing will decide any more.
  [[nodiscard]] std::set<std::string> lost_groups(const Reactor& reactor) const;
  // No trial waits for a tuning decision that may still come.
  [[nodiscard]] bool all_resolved(const Reactor& reactor) const;
  [[nodiscard]] bool any_failed(const Reactor& reactor) const;

 private:
  void make_stored_plan();
  void name_trials();
  [[nodiscard]] std::vector<std::uint64_t> journalled();
  void settle(StoredStage& stage, bool is_needed) const;
  [[nodiscard]] bool start_as_planned(StoredStage& stage) const;
  void put_plan(const Reactor& reactor, const std::set<std::string>& unwanted,
                std::map<std::string, StoredStage>& stages);
  void put_stages(const Reactor& reactor, const std::set<std::string>& unwanted,
                  std::map<std::string, StoredStage>& stages);
  [[nodiscard]] std::set<std::string> unwanted_trunks(
      const std::map<std::string, StoredStage>& stages) const;
  void stop_unplanned(std::map<std::string, StoredStage>& stages);
  [[nodiscard]] std::map<std::string, std::string> first_trials() const;

  [[nodiscard]] const Plan& plan() const noexcept { return planner_->plan(); }

  const config::Sweep& sweep_;
  std::string directory_;
  Artifacts& artifacts_;
  Store store_;
  ContentHashes hashes_;
  ContentHash hash_;
  std::int64_t epoch_ = 0;
  TunedValues tuned_;
  std::unique_ptr<Search> search_;
  std::unique_ptr<Planner> planner_;
  std::size_t loaded_stages_ = 0;  // of the graph's order, and of the trials
  std::size_t loaded_trials_ = 0;
  std::vector<Observation> decided_;  // of an adaptive search: by its journal, trial by trial
  std::vector<std::string> stopped_;
};

}  // namespace finescale
