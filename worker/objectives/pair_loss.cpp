// SPDX-License-Identifier: Apache-2.0
#include "worker/objectives/pair_loss.h"

#include <algorithm>

#include "core/error.h"
#include "core/tensor_element.h"
#include "kernels/cross_entropy.h"
#include "worker/eval/evaluate.h"

namespace finescale {

namespace {

Answer answer_of(const MicroBatch& batch, std::size_t segment, const TensorView& losses) {
  Answer answer;
  for (std::int32_t t = batch.segments[segment]; t < batch.segments[segment + 1]; ++t) {
    if (batch.labels[static_cast<std::size_t>(t)] != kIgnoreLabel) {
      answer.log_prob -= element(losses, t);
      answer.num_tokens += 1;
    }
  }
  return answer;
}

void weigh(const MicroBatch& batch, std::size_t segment, double weight, const TensorView& weights) {
  for (std::int32_t t = batch.segments[segment]; t < batch.segments[segment + 1]; ++t) {
    set_element(weights, t, weight);
  }
}

}  // namespace

ReferenceScores::ReferenceScores(EvalModel& model, const Dataset& dataset,
                                 const TrainLoader& loader) {
  const std::vector<std::int64_t> examples = loader.examples();
  const std::vector<MicroBatch> batches = pair_batches(dataset, examples, kEvaluationTokens);
  std::int64_t largest = kEvaluationTokens;
  for (const MicroBatch& batch : batches) {
    largest = std::max(largest, batch.num_tokens());
  }
  const std::vector<double> losses = model.segment_losses(batches, largest);
  for (std::size_t i = 0; i < examples.size(); ++i) {
    scores_[examples[i]] = {-losses[2 * i], -losses[2 * i + 1]};
  }
}

std::size_t ReferenceScores::memory_bytes() const noexcept {
  constexpr std::size_t kNode = 64;  // of a map
  return scores_.size() * kNode;
}

Baselines baselines_of(EvalModel& model, const ReferenceScores* reference,
                       const std::vector<MicroBatch>& batch, std::int64_t max_tokens) {
  const std::vector<double> losses = model.segment_losses(batch, max_tokens);
  Baselines sums;
  double count = 0;
  std::size_t segment = 0;
  for (const MicroBatch& part : batch) {
    for (std::size_t s = 0; s + 2 < part.segments.size(); s += 2, segment += 2) {
      const auto scores =
          reference == nullptr ? std::array<double, 2>{} : reference->of(part.examples[s]);
      sums.rejected += -losses[segment] - scores[0];
      sums.chosen += -losses[segment + 1] - scores[1];
      count += 1;
    }
  }
  return {std::max(0.0, sums.chosen / count), std::max(0.0, sums.rejected / count)};
}

double weigh_pairs(const Objective& objective, const ReferenceScores* reference,
                   const Baselines& baselines, const MicroBatch& batch, const TensorView& losses,
                   const TensorView& weights) {
  double sum = 0;
  for (std::size_t s = 0; s + 2 < batch.segments.size(); s += 2) {
    Answer chosen = answer_of(batch, s, losses);
    Answer rejected = answer_of(batch, s + 1, losses);
    if (reference != nullptr) {
      const auto& scores = reference->of(batch.examples[s]);
      chosen.reference = scores[0];
      rejected.reference = scores[1];
    }
    chosen.baseline = baselines.chosen;
    rejected.baseline = baselines.rejected;
    const PairLoss loss = objective.pair_loss(chosen, rejected);
    const double own = batch.weights.empty() ? 1 : batch.weights[s];
    sum += own * loss.loss;
    weigh(batch, s, -own * loss.chosen, weights);
    weigh(batch, s + 1, -own * loss.rejected, weights);
  }
  return sum;
}

void check_data(const Objective& objective, const Dataset& dataset) {
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const bool is_pair = dataset[i].second > 0;
    if (is_pair == objective.needs_pairs()) {
      continue;
    }
    throw Error(ErrorKind::kData,
                is_pair ? "data.train holds preferences {prompt, chosen, rejected}, from which "
                          "train.objective does not learn"
                        : "train.objective learns from preferences, but example " +
                              std::to_string(i + 1) + " of data.train is none",
                "train.objective",
                is_pair ? "choose dpo or another objective of preferences, or give {prompt, "
                          "response} with the chosen "
                          "answer"
                        : "give {prompt, chosen, rejected}");
  }
}

}  // namespace finescale
