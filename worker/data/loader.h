// SPDX-License-Identifier: Apache-2.0
// Nested seeded budgets and the cut into global batches. Batch k depends only on the examples in
// front of its end, so a larger budget of the same seed begins with the same batches.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "configs/schema/train.pb.h"
#include "worker/data/batch.h"
#include "worker/data/dataset.h"
#include "worker/data/turns.h"

namespace finescale {

// What some steps read.
struct StepTotals {
  std::int64_t tokens = 0;
  std::int64_t labels = 0;
  double sum = 0;  // over examples of the function given
};

class TrainLoader {
 public:
  // Examples of budget D are the first D of the permutation of the pool keyed by seed. Epoch e > 0
  // goes through the same D examples in an order keyed by (seed, e). Throws kData when data_budget
  // exceeds the pool, saying both numbers.
  TrainLoader(const Dataset& dataset, const config::Train& train, std::int64_t seed);

  [[nodiscard]] std::int64_t num_steps() const noexcept {
    return static_cast<std::int64_t>(first_.size()) - 1;
  }
  [[nodiscard]] std::int64_t num_tokens() const noexcept { return num_tokens_; }  // of all steps
  [[nodiscard]] std::int64_t num_labels() const noexcept { return num_labels_; }
  // Largest micro-batch of the whole run: tokens and segments, for sizing the arena.
  [[nodiscard]] std::int64_t max_micro_batch_tokens() const noexcept { return max_micro_tokens_; }
  [[nodiscard]] std::int64_t max_micro_batch_segments() const noexcept {
    return max_micro_segments_;
  }
  [[nodiscard]] bool is_weighted() const noexcept { return is_weighted_; }
  [[nodiscard]] std::int64_t max_micro_batches() const noexcept { return max_micro_batches_; }
  // Steps at the beginning whose batches no larger budget of the seed cuts otherwise.
  [[nodiscard]] std::int64_t num_common_steps() const noexcept { return num_common_steps_; }
  // Of the steps in [begin, end). O(examples read).
  [[nodiscard]] StepTotals totals(
      std::int64_t begin, std::int64_t end,
      const std::function<double(std::int64_t length)>& of_length) const;
  // Fills batch (memory is reused) for step in [0, num_steps()): O(batch), any order.
  void fill(std::int64_t step, GlobalBatch& batch) const;
  // Sum over the run's sequences, repeats counted, of a function of their length.
  [[nodiscard]] double sum(const std::function<double(std::int64_t length)>& of_length) const;
  // The examples that the run sees, each once, in the order of the first epoch.
  [[nodiscard]] std::vector<std::int64_t> examples() const;

 private:
  // Of separate streams: which one a position takes from, and the how-manieth of it that is.
  struct Turn {
    std::uint32_t stream = 0;
    std::int64_t number = 0;
  };
  struct StreamPart {
    std::vector<std::int64_t> examples;  // all of the stream
    std::int64_t budget = 0;             // of them are seen
  };
  void divide_streams();
  void look_for_weights();
  void deal_turns(std::int64_t end);  // up to this position
  [[nodiscard]] std::int64_t example_at(std::int64_t position) const;
  [[nodiscard]] std::int64_t streamed_example_at(std::int64_t position) const;
  const Dataset* dataset_;
  std::vector<StreamPart> streams_;  // empty: there is one
  std::vector<Turn> turns_;          // by position
  std::unique_ptr<Turns> dealer_;
  std::int64_t first_repeat_ = INT64_MAX;  // the first position that sees an example again
  bool is_weighted_ = false;               // some examples count more than others
  std::int64_t budget_ = 0;
  std::int64_t seed_ = 0;
  std::int64_t micro_batch_tokens_ = 0;
  std::vector<std::int64_t>
      first_;  // first_[k]: position of the first example of step k; one more at the end
  std::int64_t num_common_steps_ = 0;
  std::int64_t num_tokens_ = 0;
  std::int64_t num_labels_ = 0;
  std::int64_t max_micro_tokens_ = 0;
  std::int64_t max_micro_segments_ = 0;
  std::int64_t max_micro_batches_ = 0;
};

// Both sequences of these preferences, in order.
[[nodiscard]] std::vector<MicroBatch> pair_batches(const Dataset& dataset,
                                                   const std::vector<std::int64_t>& examples,
                                                   std::int64_t micro_batch_tokens);
// Cuts a whole dataset into micro-batches in order, for evaluation; of preferences the chosen
// answers.
[[nodiscard]] std::vector<MicroBatch> evaluation_batches(const Dataset& dataset,
                                                         std::int64_t micro_batch_tokens);

}  // namespace finescale
