// SPDX-License-Identifier: Apache-2.0
// The book of a campaign: its sweep, its plan, and the store, which it alone writes. What the book
// says has been committed. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/artifacts.h"
#include "coordinator/commit_group.h"
#include "coordinator/content_hashes.h"
#include "coordinator/decisions.h"
#include "coordinator/load_order.h"
#include "coordinator/plan.h"
#include "coordinator/plan_cache.h"
#include "coordinator/reactor.h"
#include "coordinator/store.h"

namespace finescale {

struct BookOptions {
  ContentHash hash;                     // of data files; empty: read them
  Commits commits = Commits::kFlushed;  // as Store, with
  const char* file_system = nullptr;    // its file system
  PlanCache* plans = nullptr;           // of a simulation
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
  // This stage must be made again: brings the trunks in front of it, which were left out because
  // nothing that was to be run started from them.
  void load_inputs_of(const std::string& key, Reactor& reactor, double now);
  // Stores what the finished tuning trials decide; then the plan has more stages: load again.
  [[nodiscard]] std::vector<TuningDecision> decide_tuning(const Reactor& reactor);
  // Journals what a search decides by the results so far, and plans it; how many trials that is.
  // Load again.
  [[nodiscard]] std::size_t decide_search(const Reactor& reactor);

  // Changes of stages and gangs gather in a group, which flush() writes.
  void update_stage(const StoredStage& stage) { group_.update_stage(stage); }
  void put_gang(std::int64_t id, std::int64_t pid) { group_.put_gang(id, pid); }
  void remove_gang(std::int64_t id) { group_.remove_gang(id); }
  [[nodiscard]] bool flush(std::string& why) { return group_.flush(store_, why); }
  [[nodiscard]] bool is_flushed() const noexcept { return group_.is_empty(); }
  // What was written behind (Store) is there. Throws why it is not.
  void settle() { store_.settle(); }
  [[nodiscard]] double seconds_behind() { return store_.seconds_behind(); }

  [[nodiscard]] std::string spec_of(const StoredStage& stage) { return store_.spec_of(stage); }
  void put_stopped(const PlannedTrial& trial);

  [[nodiscard]] std::vector<StoredGang> gangs() { return store_.gangs(); }
  [[nodiscard]] std::int64_t last_gang() { return finescale::last_gang(store_); }
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] std::int64_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] std::int64_t stages_unshared() const noexcept { return plan().stages_unshared; }
  [[nodiscard]] const std::vector<PlannedTrial>& trials() const noexcept { return plan().trials; }
  [[nodiscard]] const StageGraph& graph() const noexcept { return plan().graph; }
  [[nodiscard]] const std::vector<std::string>& stopped() const noexcept { return stopped_; }
  [[nodiscard]] bool is_stopped(const std::string& trial) const;
  [[nodiscard]] bool is_adaptive() const { return decisions_.is_adaptive(); }
  [[nodiscard]] bool decides_by_results() const { return sweep_.has_tune() || is_adaptive(); }

  // Tuning groups that nothing will decide any more.
  [[nodiscard]] std::set<std::string> lost_groups(const Reactor& reactor) const {
    return decisions_.lost_groups(plan().trials, reactor.stages());
  }
  // No trial waits for a tuning decision that may still come.
  [[nodiscard]] bool all_resolved(const Reactor& reactor) const;
  [[nodiscard]] bool any_failed(const Reactor& reactor) const;

 private:
  void make_stored_plan();
  void name_trials();
  // One transaction; as PlanRows::put_stages.
  [[nodiscard]] std::vector<StoredStage> put_plan(const Reactor& reactor,
                                                  const std::vector<StagePlace>& places,
                                                  StoredStages stored);
  void add_entry(Reactor& reactor, StagePlace place, StoredStage stored, const std::string& trial,
                 double now);

  [[nodiscard]] const Plan& plan() const noexcept {
    return planner_ != nullptr ? planner_->plan() : cached_->plan();
  }
  [[nodiscard]] Planner& own_planner();

  const config::Sweep& sweep_;
  std::string directory_;
  Artifacts& artifacts_;
  Store store_;
  ContentHashes hashes_;
  ContentHash hash_;
  PlanCache* plans_;
  std::int64_t epoch_ = 0;
  Decisions decisions_;
  std::unique_ptr<Planner> planner_;  // null: the plan is still the cache's
  const Planner* cached_ = nullptr;
  LoadOrder order_;
  CommitGroup group_;
  std::vector<std::string> stopped_;
  std::vector<StoredTrial> stored_trials_;  // until the plan is loaded
};

}  // namespace finescale
