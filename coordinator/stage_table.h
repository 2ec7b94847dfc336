// SPDX-License-Identifier: Apache-2.0
// The stages of a campaign, and at hand what scheduling asks of them: who is ready, who runs, who
// waits for whom. A change costs O(log n) and what depends on it, never all stages. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/stage_entries.h"

namespace finescale {

class StageTable {
 public:
  // Null when the key is known already. Its state may be any.
  StageEntry* add(StageEntry stage);
  [[nodiscard]] StageEntry* find(const std::string& key) { return stages_.find(key); }
  [[nodiscard]] const StageEntries& all() const noexcept { return stages_; }

  // The only ways to change a state.
  void set_state(StageEntry& stage, StageState state);
  void set_pending(StageEntry& stage, double not_before);

  // The first stage in the order of the plan that may run now; one that reads `local` goes first.
  // Null: none.
  [[nodiscard]] StageEntry* best_ready(const std::string& local, double now);
  // Stages whose inputs are done, back-off or not.
  [[nodiscard]] std::size_t num_ready() const noexcept { return ready_.size() + delayed_.size(); }
  [[nodiscard]] std::int64_t count(StageState state) const noexcept {
    return counts_[static_cast<std::size_t>(state)];
  }
  // In the order of the plan.
  [[nodiscard]] const std::map<std::int64_t, StageEntry*>& running() const noexcept {
    return running_;
  }

  // Called behind every change of a state.
  void watch(std::function<void(const StageEntry&, StageState)> watcher) {
    watcher_ = std::move(watcher);
  }

 private:
  void link(StageEntry& source, const std::vector<StageEntry*>& readers);
  void enter(StageEntry& stage);  // the index of its state
  void leave(StageEntry& stage);
  void wake_delayed(double now);

  StageEntries stages_;
  std::set<std::pair<std::int64_t, StageEntry*>> ready_;              // by position
  std::set<std::pair<double, StageEntry*>> delayed_;                  // by not_before
  std::map<std::int64_t, StageEntry*> running_;                       // by position
  std::unordered_map<std::string, std::vector<StageEntry*>> absent_;  // inputs: their readers
  std::array<std::int64_t, 5> counts_{};
  std::function<void(const StageEntry&, StageState from)> watcher_;
};

}  // namespace finescale
