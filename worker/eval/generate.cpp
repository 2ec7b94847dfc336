// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/generate.h"

#include <algorithm>

#include "worker/eval/decoder.h"

namespace finescale {

std::vector<std::vector<std::int32_t>> Generator::greedy(
    const std::vector<std::vector<std::int32_t>>& prompts, std::int64_t max_new,
    std::int32_t stop) {
  const auto batch = static_cast<std::int64_t>(prompts.size());
  std::int64_t longest = 0;
  for (const auto& prompt : prompts) {
    longest = std::max(longest, static_cast<std::int64_t>(prompt.size()));
  }
  const std::int64_t capacity =
      std::min<std::int64_t>(longest + max_new, model_->layout().config().max_positions());
  Decoder decoder(*model_, batch, capacity);
  std::vector<std::vector<std::int32_t>> answers(prompts.size());
  std::vector<bool> done(prompts.size(), false);
  std::vector<std::int32_t> tokens(prompts.size());
  std::vector<std::int32_t> positions(prompts.size());
  std::vector<std::int32_t> best(prompts.size());
  for (std::int64_t step = 0; step + 1 <= capacity; ++step) {
    bool any = false;
    for (std::size_t s = 0; s < prompts.size(); ++s) {
      const auto length = static_cast<std::int64_t>(prompts[s].size());
      if (step < length) {
        tokens[s] = prompts[s][static_cast<std::size_t>(step)];
      } else if (!done[s]) {
        tokens[s] = best[s];
      }
      // A finished sequence keeps its place and writes to the position where it stopped: nobody
      // reads it.
      positions[s] = done[s] ? positions[s] : static_cast<std::int32_t>(step);
      any = any || !done[s];
    }
    if (!any) {
      break;
    }
    decoder.step(tokens, positions, best);
    for (std::size_t s = 0; s < prompts.size(); ++s) {
      if (done[s] || step + 1 < static_cast<std::int64_t>(prompts[s].size())) {
        continue;
      }
      if (best[s] == stop || static_cast<std::int64_t>(answers[s].size()) >= max_new) {
        done[s] = true;
      } else {
        answers[s].push_back(best[s]);
        done[s] = static_cast<std::int64_t>(answers[s].size()) >= max_new;
      }
    }
  }
  return answers;
}

}  // namespace finescale
