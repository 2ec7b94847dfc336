// SPDX-License-Identifier: Apache-2.0
// What search and tuning decide by results: each decision is in the store before anybody acts on
// it, and is replayed by the next coordinator, never taken again. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/plan.h"
#include "coordinator/search/search.h"
#include "coordinator/store.h"
#include "coordinator/tuning.h"

namespace finescale {

class Decisions {
 public:
  // Both must outlive it.
  Decisions(const config::Sweep& sweep, Store& store) : sweep_(sweep), store_(store) {}

  // Reads what the store has. The points decided so far; in a new campaign how its search begins.
  [[nodiscard]] std::vector<std::uint64_t> replay(const SearchSpace& space);
  // Journals how the search of a new campaign begins. In a transaction.
  void journal_start();

  // Of the tuning trials that are over.
  [[nodiscard]] std::vector<TuningDecision> decide_tuning(const std::vector<PlannedTrial>& trials,
                                                          const StageEntries& stages);
  // Points that the search adds.
  using IsStopped = std::function<bool(const std::string& trial)>;
  [[nodiscard]] std::vector<std::uint64_t> decide_search(const std::vector<PlannedTrial>& trials,
                                                         const StageEntries& stages,
                                                         const IsStopped& is_stopped);

  [[nodiscard]] const TunedValues& tuned() const noexcept { return tuned_; }
  [[nodiscard]] bool is_adaptive() const { return search_->is_adaptive(); }
  // Tuning groups that nothing will decide any more.
  [[nodiscard]] std::set<std::string> lost_groups(const std::vector<PlannedTrial>& trials,
                                                  const StageEntries& stages) const;

 private:
  const config::Sweep& sweep_;
  Store& store_;
  TunedValues tuned_;
  std::unique_ptr<Search> search_;
  std::vector<Observation> decided_;  // of an adaptive search: by its journal, trial by trial
};

}  // namespace finescale
