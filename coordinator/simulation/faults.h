// SPDX-License-Identifier: Apache-2.0
// What goes wrong in a simulation, and how often.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/random.h"

namespace finescale {

enum class Fault {
  kFail,       // a stage ends in an error; half of them no other try can mend
  kKill,       // a gang dies in the middle of a stage
  kHang,       // a gang goes silent in the middle of a stage
  kZombie,     // the same, and it wakes up when others have its work
  kLose,       // a call or its answer is lost
  kDuplicate,  // a call arrives twice
  kSlow,       // a commit takes as long as several heartbeat timeouts
  kRot,        // a bit flips in an artifact that a stage reads
  kTorn,       // what a gang has written is not what it says
  kFull,       // the disk is full for a while
  kClock,      // the coordinator's machine sleeps for a while
  kCrash,      // the coordinator dies at a crash point
};
inline constexpr std::size_t kNumFaults = 12;
[[nodiscard]] std::string_view fault_name(Fault fault) noexcept;

// Probabilities: of a stage (fail, kill, hang, zombie, slow, torn), of a call (lose, duplicate), of
// a publication (full), of a passed crash point (crash); clock: of a minute.
struct FaultRates {
  std::array<double, kNumFaults> rate{};
  [[nodiscard]] double of(Fault fault) const noexcept {
    return rate[static_cast<std::size_t>(fault)];
  }
  [[nodiscard]] bool any() const noexcept {
    return std::any_of(rate.begin(), rate.end(), [](double one) { return one > 0; });
  }
};
// "kill=0.01,lose=0.001", "all" or "all=0.002". Throws kConfig.
[[nodiscard]] FaultRates parse_faults(const std::string& text);

// Draws faults and counts them.
class FaultSource {
 public:
  FaultSource(const FaultRates& rates, std::uint64_t seed)
      : rates_(rates), random_(seed, Purpose::kSimulation) {}
  [[nodiscard]] bool happens(Fault fault);
  [[nodiscard]] Random& random() noexcept { return random_; }
  [[nodiscard]] const std::array<std::int64_t, kNumFaults>& counts() const noexcept {
    return counts_;
  }

 private:
  FaultRates rates_;
  Random random_;
  std::array<std::int64_t, kNumFaults> counts_{};
};

}  // namespace finescale
