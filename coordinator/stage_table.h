// SPDX-License-Identifier: Apache-2.0
// The stages of a campaign, and at hand what scheduling asks of them: who is ready, who runs, who
// waits for whom. A change costs O(log n) and what depends on it, never all stages. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "comm/proto/gang.pb.h"
#include "coordinator/store.h"

namespace finescale {

struct StageEntry {
  StoredStage stored;
  std::vector<std::string> inputs;
  std::string trial;      // first trial that uses it, for people
  double not_before = 0;  // back-off
  double leased_at = 0;
  double last_heartbeat = 0;
  proto::Progress progress;
  std::int64_t position = 0;  // in the plan: lower goes first
  double work = 0;            // examples, roughly: up to its end,
  double work_before = 0;     // and up to where it starts from
  bool trains = false;
  int missing = 0;  // inputs that are not done
};

class StageTable {
 public:
  // Null when the key is known already. Its state may be any.
  StageEntry* add(StageEntry stage);
  [[nodiscard]] StageEntry* find(const std::string& key);
  [[nodiscard]] const std::map<std::string, StageEntry>& all() const noexcept { return stages_; }

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
  // Those that read this stage, in the order in which they were added.
  [[nodiscard]] const std::vector<StageEntry*>& readers(const std::string& key) const;

 private:
  void enter(StageEntry& stage);  // the index of its state
  void leave(StageEntry& stage);
  void wake_delayed(double now);

  std::map<std::string, StageEntry> stages_;
  std::unordered_map<std::string, std::vector<StageEntry*>> readers_;  // input key -> stages
  std::set<std::pair<std::int64_t, StageEntry*>> ready_;               // by position
  std::set<std::pair<double, StageEntry*>> delayed_;                   // by not_before
  std::map<std::int64_t, StageEntry*> running_;                        // by position
  std::array<std::int64_t, 5> counts_{};
};

}  // namespace finescale
