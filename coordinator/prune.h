// SPDX-License-Identifier: Apache-2.0
// What of a campaign directory no result and no stage that may still run needs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/campaign_reader.h"

namespace finescale {

struct Prunable {
  std::string path;
  std::string why;
  std::int64_t size_bytes = 0;
  std::string key;  // of the done stage whose checkpoint it is; empty: a leftover
};

// Leftovers of attempts and damaged artifacts; and when no trial is to be run any more, checkpoints
// of trunks and tuning trials. Kept: models of trials, what they rest on, and inputs of stages that
// `retry` may run again.
[[nodiscard]] std::vector<Prunable> what_may_be_pruned(const Campaign& campaign);

// Deletes it, after the store has noted which artifacts are without their checkpoint. Throws
// kResource while a coordinator has the store.
void prune(const std::string& directory, const std::vector<Prunable>& files);

[[nodiscard]] std::string prune_json(const std::vector<Prunable>& files, bool is_deleted);

}  // namespace finescale
