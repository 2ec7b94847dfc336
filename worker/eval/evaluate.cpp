// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/evaluate.h"

#include <algorithm>

#include "sharding/tree_order.h"
#include "worker/data/loader.h"
#include "worker/eval/generate.h"

namespace finescale {

namespace {

constexpr std::int64_t kGroup = 64;  // prompts decoded together

// Appends every rank's samples; ranks hold consecutive prompts, so the order is the prompts'.
void gather_in_order(Group& group, const std::vector<proto::Sample>& samples,
                     std::vector<proto::Sample>& all) {
  for (int rank = 0; rank < group.size(); ++rank) {
    proto::StageResult carrier;
    if (rank == group.rank()) {
      carrier.mutable_samples()->Add(samples.begin(), samples.end());
    }
    std::string bytes = carrier.SerializeAsString();
    group.broadcast(bytes, rank);
    carrier.ParseFromString(bytes);
    all.insert(all.end(), carrier.samples().begin(), carrier.samples().end());
  }
}

}  // namespace

Measured measure_loss(EvalModel& model, const Dataset& dataset, const Pulse& pulse) {
  const std::vector<MicroBatch> batches = evaluation_batches(dataset, kEvaluationTokens);
  std::int64_t largest = kEvaluationTokens;
  Measured measured;
  for (const MicroBatch& batch : batches) {
    largest = std::max(largest, batch.num_tokens());
    measured.n += batch.num_labels;
  }
  measured.value = model.loss_sum(batches, largest, pulse) / static_cast<double>(measured.n);
  return measured;
}

Measured AnswerCounts::share(const std::string& metric) const {
  std::int64_t count = equal;
  for (std::size_t v = 0; v < verdicts.size(); ++v) {
    count = metric == verdict_metric(static_cast<Verdict>(v)) ? verdicts[v] : count;
  }
  return {n == 0 ? 0 : static_cast<double>(count) / static_cast<double>(n), n};
}

AnswerCounts measure_answers(EvalModel& model, const Dataset& dataset, const Tokenizer& tokenizer,
                             const AnswerOptions& options, const Task* verifier,
                             const std::string& set, std::vector<proto::Sample>* kept,
                             const Pulse& pulse) {
  // Ranks that gather units from each other must take the same number of steps, which depends on
  // the answers: they decode the same prompts.
  Mesh& mesh = model.mesh();
  Group& group = model.engine().zero_stage == 3 ? mesh.data() : mesh.replica();
  std::vector<std::int64_t> asked;
  for (std::int64_t i = 0;
       i < dataset.size() &&
       (options.limit == 0 || static_cast<std::int64_t>(asked.size()) < options.limit);
       ++i) {
    if (dataset[i].num_prompt > 0) {
      asked.push_back(i);
    }
  }
  Generator generator(model);
  const std::int64_t groups = (static_cast<std::int64_t>(asked.size()) + kGroup - 1) / kGroup;
  const MicroBatchRange mine = micro_batches_of(groups, group.rank(), group.size());
  AnswerCounts counts;
  std::vector<proto::Sample> own;
  for (std::int64_t g = mine.begin; g < mine.end; ++g) {
    const std::int64_t begin = g * kGroup;
    const std::int64_t end = std::min(begin + kGroup, static_cast<std::int64_t>(asked.size()));
    std::vector<std::vector<std::int32_t>> prompts;
    for (std::int64_t i = begin; i < end; ++i) {
      const ExampleView example = dataset[asked[static_cast<std::size_t>(i)]];
      prompts.emplace_back(example.tokens.begin(), example.tokens.begin() + example.num_prompt);
    }
    const auto answers = generator.greedy(prompts, options.max_new, options.stop);
    for (std::int64_t i = begin; i < end; ++i) {
      const ExampleView example = dataset[asked[static_cast<std::size_t>(i)]];
      const std::string answer = tokenizer.decode(answers[static_cast<std::size_t>(i - begin)]);
      counts.equal += static_cast<std::int64_t>(answer == example.response);
      if (verifier != nullptr) {
        ++counts.verdicts[static_cast<std::size_t>(verifier->verify(example.prompt, answer))];
      }
      if (i < options.samples) {
        proto::Sample sample;
        sample.set_set(set);
        sample.set_prompt(std::string(example.prompt));
        sample.set_expected(std::string(example.response));
        sample.set_answer(answer);
        own.push_back(std::move(sample));
      }
    }
    pulse();
  }
  if (kept != nullptr) {
    gather_in_order(group, own, *kept);
  }
  counts.n = std::ssize(asked);
  counts.equal = group.sum(counts.equal);
  for (std::int64_t& verdict : counts.verdicts) {
    verdict = group.sum(verdict);
  }
  return counts;
}

}  // namespace finescale
