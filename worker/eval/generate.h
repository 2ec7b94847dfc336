// SPDX-License-Identifier: Apache-2.0
// Continues prompts, many at once, with a key/value cache. Prompts go through in blocks beside the
// sequences that already answer, and a finished sequence makes room for the next prompt; an
// answer's bits depend on its own prompt, its index and the options alone, so neither on what else
// is in the batch nor on the number of ranks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/data/tokenizer.h"
#include "worker/eval/eval_model.h"
#include "worker/eval/sampler.h"

namespace finescale {

struct GenerationOptions {
  SamplingOptions sampling;
  std::uint64_t seed = 1;
  std::uint64_t first_index = 0;       // of the first prompt: keys its random numbers
  std::vector<std::uint64_t> indexes;  // one for each prompt instead, when they do not follow
  std::int64_t max_new = 64;
  std::vector<std::int32_t> stop_tokens;  // not part of the answer
  std::vector<std::string> stop_strings;  // not part of the text
  std::int64_t batch = 64;                // sequences at once
  std::int64_t rows = 256;                // tokens of a pass at most, when there are as many
};

enum class FinishReason { kStopToken, kStopString, kMaxNew, kPositions, kInterrupted };
[[nodiscard]] const char* finish_reason_name(FinishReason reason) noexcept;

struct Generated {
  std::vector<std::int32_t> tokens;  // with those of a stop string
  std::string text;                  // with a tokenizer
  FinishReason reason = FinishReason::kMaxNew;
};

// Called on every rank.
struct GenerationHooks {
  std::function<void(std::size_t prompt, std::string_view text)> on_text;  // whole characters
  std::function<void(std::size_t prompt, const Generated& answer)> on_done;
  std::function<bool()> interrupted;  // asked before each pass; the same answer on every rank
};

class Generator {
 public:
  explicit Generator(EvalModel& model) : model_(&model) {}

  // One answer per prompt, in their order. Stop strings and text need the tokenizer. A prompt as
  // long as the model's positions has no answer; an empty one is an error. Collective over the
  // tensor and pipeline groups, and where units are gathered over the shard group: the same prompts
  // on each rank.
  [[nodiscard]] std::vector<Generated> run(const std::vector<std::vector<std::int32_t>>& prompts,
                                           const GenerationOptions& options,
                                           const Tokenizer* tokenizer = nullptr,
                                           const GenerationHooks& hooks = {});

  // The likeliest tokens until `stop`, max_new tokens, or the model's last position. Collective as
  // run().
  [[nodiscard]] std::vector<std::vector<std::int32_t>> greedy(
      const std::vector<std::vector<std::int32_t>>& prompts, std::int64_t max_new,
      std::int32_t stop);

 private:
  EvalModel* model_;
};

}  // namespace finescale
