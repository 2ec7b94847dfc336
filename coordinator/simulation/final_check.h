// SPDX-License-Identifier: Apache-2.0
// What must be true when a simulated campaign is over: every stage settled and counted once; store,
// artifacts and coordinator agree.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "coordinator/reactor.h"
#include "coordinator/simulation/duties.h"
#include "coordinator/simulation/simulated_artifacts.h"

namespace finescale {

class FinalCheck {
 public:
  FinalCheck(const Duties& duties, int max_attempts, bool faults_are_harmless)
      : duties_(duties), max_attempts_(max_attempts), faults_are_harmless_(faults_are_harmless) {}

  void stages(const StageEntries& stages);
  // With `thorough` leases and results too, else states alone. Trunks of an earlier plan are in the
  // store alone.
  void store(Store& store, bool thorough);
  void journal(Store& store, std::size_t trials);  // of a search that decides by results
  void artifacts(const SimulatedArtifacts& artifacts);

  [[nodiscard]] std::int64_t failed_stages() const noexcept { return failed_stages_; }
  [[nodiscard]] const std::vector<std::string>& violations() const noexcept { return violations_; }

 private:
  void violation(const std::string& key, const std::string& what) {
    violations_.push_back(key + ": " + what);
  }
  void stage(const StoredStage& stage);
  void stored_state(const std::string& key, StageState state);

  const Duties& duties_;
  int max_attempts_;
  bool faults_are_harmless_;
  struct Said {
    StageState state;
    std::int64_t epoch;
    int attempts;
    std::size_t result;  // its hash
  };
  std::unordered_map<std::string, Said> said_;  // by the coordinator
  std::unordered_map<std::string, StageState> stored_;
  std::set<std::int64_t> trunk_tokens_;  // that done trunks have trained on
  std::int64_t failed_stages_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace finescale
