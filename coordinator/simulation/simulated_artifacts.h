// SPDX-License-Identifier: Apache-2.0
// Attempts and artifacts that are written in no file: what simulated gangs leave, and what the
// coordinator publishes of it. They outlive every coordinator, as files do.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/artifacts.h"
#include "core/clock.h"

namespace finescale {

struct SimulatedAttempt {
  double saved_seconds = 0;  // of work, in its newest checkpoint
  bool is_complete = false;  // the artifact and its manifest
  bool is_torn = false;
  proto::StageResult result;
};

// An attempt's directory ends in the stage's key and the lease's epoch.
[[nodiscard]] std::string stage_of_attempt(const std::string& directory);

class SimulatedArtifacts : public Artifacts {
 public:
  // Of a campaign directory that need not exist.
  SimulatedArtifacts(std::string campaign, const Clock& clock)
      : campaign_(std::move(campaign)), clock_(clock) {}

  // A gang's view: by the directory that its order names.
  [[nodiscard]] SimulatedAttempt& attempt(const std::string& directory) {
    return attempts_[directory];
  }
  [[nodiscard]] double saved_seconds(const std::string& directory) const;

  // Directories of attempts before this epoch, newest first.
  [[nodiscard]] std::vector<std::string> attempts_of(const std::string& key,
                                                     std::int64_t epoch) const;
  [[nodiscard]] std::vector<std::string> older_attempts(const std::string& key,
                                                        std::int64_t epoch) override {
    return attempts_of(key, epoch);
  }
  void remove_attempts(const std::string& key, std::int64_t last_epoch) override;
  [[nodiscard]] bool adopt(StoredStage& stage) override;
  [[nodiscard]] std::string publish(const proto::CommitRequest& commit,
                                    proto::StageResult& result) override;
  void sync() override;
  // The coordinator's machine dies: names that were not flushed may be the old ones again.
  void lose_unsynced(const std::function<double()>& uniform);

  [[nodiscard]] std::string damage(const std::string& key) override {
    return rotten_.contains(key) ? "a simulated flipped bit" : "";
  }
  void discard(const std::string& key) override {
    published_.erase(key);
    rotten_.erase(key);
  }
  void rot(const std::string& key) { rotten_.insert(key); }
  // Stages whose attempts were removed although nothing was published.
  [[nodiscard]] const std::vector<std::string>& removed_early() const { return removed_early_; }
  [[nodiscard]] bool is_full() const { return clock_.now() < full_until_; }
  void fill();  // until somebody has made room
  [[nodiscard]] const std::unordered_map<std::string, std::string>& published() const noexcept {
    return published_;
  }

 private:
  std::string campaign_;
  const Clock& clock_;
  std::map<std::string, SimulatedAttempt> attempts_;                // by directory
  std::unordered_map<std::string, std::string> published_;          // by key: serialized results
  std::vector<std::pair<std::string, SimulatedAttempt>> unsynced_;  // by directory, since sync()
  std::set<std::string> rotten_;
  std::vector<std::string> removed_early_;
  double full_until_ = -1;
};

}  // namespace finescale
