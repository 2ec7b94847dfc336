// SPDX-License-Identifier: Apache-2.0
// One resolved trial -> its stages, keyed, in an order in which inputs come first. Used by the
// coordinator for every trial and by the worker for --run.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "configs/schema/stage.pb.h"
#include "configs/schema/sweep.pb.h"

namespace finescale {

// Hash of a file's content; the caller caches.
using ContentHash = std::function<std::string(const std::string& path)>;

// Whether a train stage of this method leaves whole weights (an adapter is read with its base).
[[nodiscard]] bool leaves_whole_weights(const config::Method& method);

struct TrialStages {
  std::vector<config::StageSpec> stages;  // prepare?, pretrain?, then the trial's own; keys filled
  std::vector<std::string> names;  // same length: stage name in the trial, "tokenizer", "pretrain"
};
// sweep: axes already applied; its axes, tune, search, laws fields are ignored.
[[nodiscard]] TrialStages expand_trial(const config::Sweep& sweep, const ContentHash& hash);
[[nodiscard]] TrialStages expand_run(const config::Run& run, const ContentHash& hash);

}  // namespace finescale
