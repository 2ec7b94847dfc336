// SPDX-License-Identifier: Apache-2.0
// Sweep -> trials -> stage graph. Pure: content hashes come in as a function; tuned values come in
// when they are known.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "configs/schema/stage.pb.h"
#include "configs/schema/sweep.pb.h"
#include "configs/stages.h"

namespace finescale {

struct PlannedTrial {
  std::string id;  // t0001..., tune-0001...
  bool is_tuning = false;
  std::string tune_group;  // tuning trials: their group; others: the group whose winner they take
  std::map<std::string, std::string> axes;   // path -> canonical value
  std::map<std::string, std::string> tuned;  // path -> value (tuning trials: the value tried)
  bool resolved = true;  // false: waits for its group's tuning; stages are empty until then
  std::vector<std::string> stages;  // keys in order, last one is the trial's result
  std::vector<std::string> names;   // same length: stage names
};
struct StageGraph {
  std::map<std::string, config::StageSpec> stages;         // by key, merged
  std::map<std::string, std::vector<std::string>> inputs;  // key -> keys
  std::vector<std::string> order;                          // topological, stable
};
struct Plan {
  std::vector<PlannedTrial> trials;
  StageGraph graph;
  std::int64_t stages_unshared = 0;
};

// Winner of each tuning group: group -> (path -> value). Missing groups are not decided yet.
using TunedValues = std::map<std::string, std::map<std::string, std::string>>;

// Deterministic: the same sweep and tuned values give the same ids, keys and order.
[[nodiscard]] Plan make_plan(const config::Sweep& sweep, const ContentHash& hash,
                             const TunedValues& tuned);

}  // namespace finescale
