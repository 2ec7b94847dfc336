// SPDX-License-Identifier: Apache-2.0
// Rounds of stages written out one after the other. The stages of the last round keep their names;
// those of earlier ones are called name@1, name@2, ...
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/schema/sweep.pb.h"

namespace finescale {

[[nodiscard]] bool has_rounds(const config::Trial& trial);

struct FlatTrial {
  config::Trial trial;             // without rounds
  std::vector<std::string> paths;  // where each stage is written: trial.stages[1].rounds.stages[0]
};
// In `from`, a stage of the rounds is the newest of its name; in the first round, one that has not
// run yet is what stands in front of the rounds.
[[nodiscard]] FlatTrial flattened(const config::Trial& trial);

// Without the number of a round.
[[nodiscard]] std::string_view name_without_round(std::string_view name);

}  // namespace finescale
