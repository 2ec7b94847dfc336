// SPDX-License-Identifier: Apache-2.0
// finescale score: losses of a model on the examples of a file, token by token.
#pragma once

#include <string>

#include "worker/import/open_model.h"

namespace finescale {

struct ScoreOptions {
  std::string data;
  int top = 0;                 // logits of the last position that are shown
  int threads = 0;             // 0: all cores
  std::string device = "cpu";  // as gpu_for() takes it
};

// {"loss", "tokens", "examples": [{"ids", "logprobs", "loss", "top": [{"id", "logit"}]}]}; logprobs
// has one entry per id, null where nothing is scored. Each example is computed by itself. Lines are
// those of training data, or {"ids": [...], "labels": [...]} with -100 for what is not scored.
// Throws kData at file:line, and as
// gpu_for() does. Empties `model`.
[[nodiscard]] std::string score_model(OpenedModel& model, const ScoreOptions& options);

}  // namespace finescale
