// SPDX-License-Identifier: Apache-2.0
#include "coordinator/init.h"

#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "core/random.h"

namespace finescale {

namespace {

constexpr std::string_view kConsonants = "bcdfghklmnprst";
constexpr std::string_view kVowels = "aeiou";
constexpr int kNumShort = 14 * 5 * 14 * 5;  // words like "lodi"
constexpr int kNumLong = kNumShort * 14;    // and like "lodir"
constexpr int kNumWords = 2 * kNumShort;

// Consonants and vowels in turn, so that words have structure to learn. Even numbers are short
// words, odd ones long; within each a permutation, so no word comes twice.
std::string word_of(int number) {
  const bool is_long = number % 2 == 1;
  const Permutation permutation(is_long ? kNumLong : kNumShort, 1, Purpose::kOrder);
  std::uint64_t code = permutation[static_cast<std::uint64_t>(number / 2)];
  std::string word;
  for (int c = 0; c < (is_long ? 5 : 4); ++c) {
    const std::string_view letters = c % 2 == 0 ? kConsonants : kVowels;
    word += letters[code % letters.size()];
    code /= letters.size();
  }
  return word;
}

// Backwards, each vowel moved on by one: lodi -> odul.
std::string cipher(const std::string& word) {
  std::string answer(word.rbegin(), word.rend());
  for (char& c : answer) {
    if (const std::size_t at = kVowels.find(c); at != std::string_view::npos) {
      c = kVowels[(at + 1) % kVowels.size()];
    }
  }
  return answer;
}

}  // namespace

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
  overlap: error                  # no evaluation example may occur in the pool

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
  geometric: {from: 1e-3, to: 3.2e-2, points: 6}

laws: {metric: held_out.loss}     # what is fitted against the data budget
costs: {per_example: 0.05}        # price of one labelled example, for the recommendation

resources: {gangs: )" +
         std::to_string(gangs) + R"(, ranks_per_gang: 1}
output: runs/first-sweep
)";
}

std::vector<InitFile> init_files(int gangs) {
  return {{"sweep.yaml", init_sweep(gangs)},
          {"data/eval.jsonl", init_data(0, 128, false)},
          {"data/train.jsonl", init_data(128, 2000, false)},
          {"data/text.jsonl", init_data(4000, 2000, true)}};
}

std::string init_data(int first, int count, bool as_text) {
  FS_CHECK(first >= 0 && first + count <= kNumWords, "init_data: out of words");
  std::string out;
  for (int i = first; i < first + count; ++i) {
    const std::string word = word_of(i);
    const std::string answer = cipher(word);
    if (as_text) {
      out.append(R"({"text": ")").append(word).append(" ").append(answer, 0, 2);
      out.append(" ").append(word).append("\"}\n");
    } else {
      out.append(R"({"prompt": ")").append(word).append(R"(", "response": ")");
      out.append(answer).append("\"}\n");
    }
  }
  return out;
}

}  // namespace finescale
