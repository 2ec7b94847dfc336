// SPDX-License-Identifier: Apache-2.0
// Watches what a simulated coordinator says to gangs, and knows what it must never say. It also
// counts which faults met which transitions of stages. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "comm/proto/gang.pb.h"
#include "coordinator/simulation/faults.h"
#include "coordinator/simulation/simulated_artifacts.h"
#include "coordinator/stage_entries.h"

namespace finescale {

enum class Transition {
  kLease,    // pending -> running
  kCommit,   // running -> done
  kRetry,    // running -> pending
  kGiveUp,   // running -> failed
  kDoomed,   // pending -> failed: an input failed
  kAdopted,  // a new coordinator finds the artifact of what was not done
  kKept,     // a gang keeps its lease under a new coordinator
};
inline constexpr std::size_t kNumTransitions = 7;
[[nodiscard]] std::string_view transition_name(Transition transition) noexcept;

// How often a transition came of a stage that a fault had met before: fault x transition.
struct Coverage {
  std::array<std::array<std::int64_t, kNumTransitions>, kNumFaults> cells{};
  void add(const Coverage& other);
  [[nodiscard]] int num_empty() const;
};

class Referee {
 public:
  Referee(int max_attempts, double retry_delay, const SimulatedArtifacts& artifacts)
      : max_attempts_(max_attempts), retry_delay_(retry_delay), artifacts_(artifacts) {}

  // What the coordinator says.
  void started(std::int64_t epoch);
  void ordered(const std::string& key, const proto::NextReply& order);
  void accepted(const std::string& key);
  // A heartbeat was answered so. Answers wait for a commit, so the lease may have ended meanwhile;
  // `was_over`: when the heartbeat came.
  void went_on(const std::string& key, bool was_over);
  [[nodiscard]] bool is_over(const std::string& key, std::int64_t lease);
  // A gang will: what it has not begun. That is no attempt.
  void gives_back(const std::string& key, std::int64_t lease);
  void kept(const std::string& key, std::int64_t lease);  // its lease, at a registration
  // What it does.
  void changed(const StageEntry& stage, StageState from, double now);
  // All stages of a coordinator that has just begun.
  void loaded(const StageEntry& stage);

  void touched(Fault fault, const std::string& key);  // "": no stage
  void touched_running(Fault fault);                  // whatever runs

  void violation(const std::string& key, const std::string& what);
  [[nodiscard]] const std::vector<std::string>& violations() const noexcept { return violations_; }
  [[nodiscard]] const Coverage& coverage() const noexcept { return coverage_; }

 private:
  struct Seen {
    std::int64_t lease = 0;  // newest that was given
    int orders = 0;
    std::int64_t given_back = 0;  // lease
    bool is_given_back = false;   // and counted so
    bool is_accepted = false;
    double failed_at = -1;     // its last attempt, under the same coordinator
    std::uint32_t faults = 0;  // that it has met
    StageState state = StageState::kPending;
  };
  void count(Transition transition, const Seen& stage);

  int max_attempts_;
  double retry_delay_;
  const SimulatedArtifacts& artifacts_;
  std::int64_t epoch_ = 0;
  std::unordered_map<std::string, Seen> stages_;
  std::unordered_set<std::string> running_;
  std::vector<std::string> violations_;
  Coverage coverage_;
};

[[nodiscard]] std::string coverage_text(const Coverage& coverage);

}  // namespace finescale
