// SPDX-License-Identifier: Apache-2.0
#include "coordinator/init.h"

#include "core/random.h"

namespace finescale {

std::string init_sweep(int gangs) {
  return R"(# A sweep: how much data, and which fine-tuning method? It runs as it is: finescale run sweep.yaml
# Every key is described by `finescale schema`, e.g. `finescale schema train.schedule`.
name: first-sweep

base:                             # where every trial starts
  preset: tiny                    # a shape of configs/presets; trained first, once, as a shared stage
  tokenizer: {train: {vocab_size: 400}}
  pretrain:
    data: data/text.jsonl
    train: {steps: 150, learning_rate: 3e-3, batch: {tokens: 2048}, schedule: {wsd: {decay: 0.3}}}
  # model: path/to/checkpoint     # or start from weights that you have

data:
  train: data/train.jsonl         # lines {"prompt", "response"}; a data budget is taken from these
  eval: [{name: held_out, path: data/eval.jsonl}]
  max_length: 64

trial:                            # what each trial does
  stages:
    - train: {method: full, data_budget: 400, epochs: 4, learning_rate: 3e-3, batch: {examples: 16}}
    - evaluate: {metrics: [loss, exact_match], max_new_tokens: 16}

axes:                             # what is varied: every combination is a trial
  train.method: [full, {lora: {rank: 8}}]
  train.data_budget: {geometric: {from: 50, to: 1600, points: 6}}
  seed: [1, 2]

tune:                             # each method gets its own learning rate first, with equal effort
  fields: [train.learning_rate]
  per: [train.method]
  at: {train.data_budget: 400}
  metric: held_out.loss
  trials: 5

laws: {metric: held_out.loss}     # what is fitted against the data budget
costs: {per_example: 0.05}        # price of one labelled example, for the recommendation

resources: {gangs: )" + std::to_string(gangs) + R"(, ranks_per_gang: 1}
output: runs/first-sweep
)";
}

std::string init_data(int first, int count, bool as_text) {
  std::string out;
  for (int i = first; i < first + count; ++i) {
    Random random(1, Purpose::kTest, static_cast<std::uint64_t>(i));
    const int length = 3 + static_cast<int>(random.below(5));
    std::string word;
    for (int c = 0; c < length; ++c) {
      // Consonants and vowels in turn, so that words have structure to learn.
      word += c % 2 == 0 ? "bcdfghklmnprst"[random.below(14)] : "aeiou"[random.below(5)];
    }
    std::string answer;  // backwards, each vowel moved on by one
    for (auto c = word.rbegin(); c != word.rend(); ++c) {
      const std::string vowels = "aeioua";
      const std::size_t at = vowels.find(*c);
      answer += at == std::string::npos ? *c : vowels[at + 1];
    }
    out += as_text ? "{\"text\": \"" + word + " " + answer.substr(0, 2) + " " + word + "\"}\n"
                   : "{\"prompt\": \"" + word + "\", \"response\": \"" + answer + "\"}\n";
  }
  return out;
}

}  // namespace finescale
