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
#include <unordered_map>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/artifacts.h"
#include "coordinator/content_hashes.h"
#include "coordinator/plan.h"
#include "coordinator/plan_cache.h"
#include "coordinator/reactor.h"
#include "coordinator/store.h"
#include "coordinator/tuning.h"

namespace finescale {

struct BookOptions {
  ContentHash hash;                   // of data files; empty: read them
  bool durable = true;                // false: a simulation's store need not survive the machine
  const char* file_system = nullptr;  // as Store
  PlanCache* plans = nullptr;         // of a simulation
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

  // Changes of stages and gangs gather in a group, which flush() writes in one transaction: what
  // rests on one of them is said to nobody before. The stage outlives the group and is written as
  // it is then.
  void update_stage(const StoredStage& stage) { group_.stages[stage.row] = &stage; }
  void put_gang(std::int64_t id, std::int64_t pid) { group_.gangs[id] = pid; }
  void remove_gang(std::int64_t id) { group_.gangs[id] = kNoProcess; }
  // Whether the group is on disk. False: there is no space, or the disk fails; the group stays, and
  // `why` says so.
  [[nodiscard]] bool flush(std::string& why);
  [[nodiscard]] bool is_flushed() const noexcept {
    return group_.stages.empty() && group_.gangs.empty();
  }

  [[nodiscard]] std::string spec_of(const StoredStage& stage) { return store_.spec_of(stage); }
  void put_stopped(const PlannedTrial& trial);

  [[nodiscard]] std::vector<StoredGang> gangs() { return store_.gangs(); }
  // The largest id of any gang there was: a gang that was given up may still call.
  [[nodiscard]] std::int64_t last_gang();
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] std::int64_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] std::int64_t stages_unshared() const noexcept { return plan().stages_unshared; }
  [[nodiscard]] const std::vector<PlannedTrial>& trials() const noexcept { return plan().trials; }
  [[nodiscard]] const StageGraph& graph() const noexcept { return plan().graph; }
  [[nodiscard]] const std::vector<std::string>& stopped() const noexcept { return stopped_; }
  [[nodiscard]] bool is_stopped(const std::string& trial) const;
  [[nodiscard]] bool is_adaptive() const { return search_->is_adaptive(); }
  [[nodiscard]] bool decides_by_results() const { return sweep_.has_tune() || is_adaptive(); }

  // Tuning groups that nothing will decide any more.
  [[nodiscard]] std::set<std::string> lost_groups(const Reactor& reactor) const;
  // No trial waits for a tuning decision that may still come.
  [[nodiscard]] bool all_resolved(const Reactor& reactor) const;
  [[nodiscard]] bool any_failed(const Reactor& reactor) const;

 private:
  void make_stored_plan();
  void name_trials();
  [[nodiscard]] std::vector<std::uint64_t> journalled();
  using StoredStages = std::unordered_map<std::string, StoredStage>;  // by key
  static constexpr std::int64_t kNoProcess = -1;

  void settle(StoredStage& stage, bool is_needed) const;
  [[nodiscard]] StoredStages stored_stages();
  // Of these places; one that the reactor has gets no key.
  [[nodiscard]] std::vector<StoredStage> put_plan(const Reactor& reactor,
                                                  const std::vector<StagePlace>& places,
                                                  StoredStages stored);
  [[nodiscard]] std::vector<StoredStage> put_stages(const Reactor& reactor,
                                                    const std::vector<StagePlace>& places,
                                                    StoredStages& stored);
  [[nodiscard]] std::set<std::string> needed_stages() const;
  [[nodiscard]] std::vector<bool> unwanted_trunks(const StoredStages& stored) const;
  [[nodiscard]] std::vector<StagePlace> stages_to_load(const StoredStages& stored);
  void add_entry(Reactor& reactor, StagePlace place, StoredStage stored, const std::string& trial,
                 double now);
  void want(StagePlace stage, std::vector<StagePlace>& wanted);
  void stop_unplanned(StoredStages& stored);
  [[nodiscard]] std::vector<std::size_t> first_trials() const;

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
  TunedValues tuned_;
  std::unique_ptr<Search> search_;
  std::unique_ptr<Planner> planner_;  // null: the plan is still the cache's
  const Planner* cached_ = nullptr;
  std::size_t loaded_stages_ = 0;  // of the graph's order, and of the trials
  std::size_t loaded_trials_ = 0;
  std::set<StagePlace> left_out_;     // trunks that nothing has needed so far
  std::vector<Observation> decided_;  // of an adaptive search: by its journal, trial by trial
  std::vector<std::string> stopped_;
  std::vector<StoredTrial> stored_trials_;  // until the plan is loaded
  struct Group {
    std::map<std::int64_t, const StoredStage*> stages;  // by row: written in one order
    std::map<std::int64_t, std::int64_t> gangs;         // id -> process, or kNoProcess
  };
  Group group_;
};

}  // namespace finescale
