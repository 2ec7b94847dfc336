// SPDX-License-Identifier: Apache-2.0
// How long stages have taken of late, by what they are called: whether one is so short that its
// lease, its flushes and its commit would cost more than its work. One thread.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "comm/proto/result.pb.h"
#include "coordinator/stage_entries.h"

namespace finescale {

// What a gang may do before it commits: lost when it dies, and not to be had by other gangs.
inline constexpr double kShortSeconds = 0.2;

class Pace {
 public:
  // A stage was committed with this result.
  void learn(const StageEntry& stage, const proto::StageResult& result);
  // By the slowest of late, a unit of work for a unit of work. Nothing: none was seen.
  [[nodiscard]] std::optional<double> expected_seconds(const StageEntry& stage) const;

 private:
  std::unordered_map<std::string, double> seconds_of_work_;  // by label
};

}  // namespace finescale
