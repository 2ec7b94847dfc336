// SPDX-License-Identifier: Apache-2.0
// Attempts and artifacts that are written in no file: what simulated gangs leave, and what the
// coordinator publishes of it. They outlive every coordinator, as files do.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/artifacts.h"
#include "coordinator/simulation/faults.h"
#include "core/clock.h"

namespace finescale {

struct SimulatedAttempt {
  double saved_seconds = 0;  // of work, in its newest checkpoint
  bool is_complete = false;  // the artifact and its manifest
  bool is_torn = false;
  proto::StageResult result;
};

class SimulatedArtifacts : public Artifacts {
 public:
  // Of a campaign directory that need not exist.
  SimulatedArtifacts(std::string campaign, FaultSource& faults, const Clock& clock)
      : campaign_(std::move(campaign)), faults_(faults), clock_(clock) {}

  // A gang's view: by the directory that its order names.
  [[nodiscard]] SimulatedAttempt& attempt(const std::string& directory) {
    return attempts_[directory];
  }
  [[nodiscard]] double saved_seconds(const std::string& directory) const;

  [[nodiscard]] std::vector<std::string> older_attempts(const std::string& key,
                                                        std::int64_t epoch) override;
  void remove_attempts(const std::string& key, std::int64_t last_epoch) override;
  [[nodiscard]] bool adopt(StoredStage& stage) override;
  [[nodiscard]] std::string publish(const proto::CommitRequest& commit,
                                    proto::StageResult& result) override;

  [[nodiscard]] const std::map<std::string, std::string>& published() const noexcept {
    return published_;
  }

 private:
  std::string campaign_;
  FaultSource& faults_;
  const Clock& clock_;
  std::map<std::string, SimulatedAttempt> attempts_;  // by directory
  std::map<std::string, std::string> published_;      // by key: serialized results
  double full_until_ = -1;
};

}  // namespace finescale
