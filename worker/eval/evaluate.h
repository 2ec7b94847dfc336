// SPDX-License-Identifier: Apache-2.0
// Measures a model on one dataset. Results do not depend on the number of ranks: whole
// micro-batches and whole groups of prompts go to ranks, sums are taken in the fixed tree.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "comm/group.h"
#include "comm/proto/result.pb.h"
#include "worker/data/dataset.h"
#include "worker/data/tasks/task.h"
#include "worker/data/tokenizer.h"
#include "worker/eval/eval_model.h"

namespace finescale {

// Tokens of a micro-batch: fixed, because the bits of a product depend on its rows.
inline constexpr std::int64_t kEvaluationTokens = 2048;

struct Measured {
  double value = 0;
  std::int64_t n = 0;  // labelled tokens (loss) or examples (of answers)
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
// Greedy answers to the examples that have a prompt, counted.
struct AnswerCounts {
  std::int64_t n = 0;
  std::int64_t equal = 0;                  // to the response, byte for byte
  std::array<std::int64_t, 4> verdicts{};  // by Verdict; zeros without a verifier
  // Share of: exact_match, or what verdict_metric() names.
  [[nodiscard]] Measured share(const std::string& metric) const;
};
// One answer, for what is measured of answers later.
struct AnswerRecord {
  std::int64_t example = 0;  // place in the dataset
  std::vector<std::int32_t> tokens;
  bool is_whole = false;  // it ended by itself
  bool is_right = false;  // by the verifier, else equal to the response
};
// Samples are appended to `kept` on every rank. `verifier`: null where the data have none. With
// `records` every answer, on every rank. Collective over the mesh.
[[nodiscard]] AnswerCounts measure_answers(EvalModel& model, const Dataset& dataset,
                                           const Tokenizer& tokenizer, const AnswerOptions& options,
                                           const Task* verifier, const std::string& set,
                                           std::vector<proto::Sample>* kept, const Pulse& pulse,
                                           std::vector<AnswerRecord>* records = nullptr);

}  // namespace finescale
