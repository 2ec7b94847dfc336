// SPDX-License-Identifier: Apache-2.0
// Measures a model on one dataset. Results do not depend on the number of ranks: whole
// micro-batches and whole groups of prompts go to ranks, sums are taken in the fixed tree.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "comm/group.h"
#include "comm/proto/result.pb.h"
#include "worker/data/dataset.h"
#include "worker/data/tokenizer.h"
#include "worker/eval/eval_model.h"

namespace finescale {

// Tokens of a micro-batch: fixed, because the bits of a product depend on its rows.
inline constexpr std::int64_t kEvaluationTokens = 2048;

struct Measured {
  double value = 0;
  std::int64_t n = 0;  // labelled tokens (loss) or examples (exact_match)
};

// Called between batches on every rank.
using Pulse = std::function<void()>;

// Mean negative log-likelihood of the labelled tokens, nats. Collective over the mesh.
[[nodiscard]] Measured measure_loss(EvalModel& model, const Dataset& dataset, const Pulse& pulse);

struct AnswerOptions {
  std::int64_t limit = 0;  // first N examples; 0: all
  std::int64_t max_new = 64;
  std::int32_t stop = 0;  // id of response_end
  int samples = 0;        // answers kept: of the first prompts
};
// Share of examples whose greedy answer equals the response byte for byte; examples without a
// prompt are left out. Samples are appended to `kept` on every rank. Collective over the mesh.
[[nodiscard]] Measured measure_exact_match(EvalModel& model, const Dataset& dataset,
                                           const Tokenizer& tokenizer, const AnswerOptions& options,
                                           const std::string& set, std::vector<proto::Sample>* kept,
                                           const Pulse& pulse);

}  // namespace finescale
