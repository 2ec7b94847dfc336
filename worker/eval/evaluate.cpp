// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/evaluate.h"

#include <algorithm>
#include <cstring>

#include "sharding/tree_order.h"
#include "worker/data/loader.h"
#include "worker/eval/generate.h"

namespace finescale {

namespace {

constexpr std::int64_t kPromptsAtOnce = 64;  // prompts decoded together

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

// The same of records: example, two flags, number of tokens, tokens.
void gather_in_order(Group& group, const std::vector<AnswerRecord>& records,
                     std::vector<AnswerRecord>& all) {
  for (int rank = 0; rank < group.size(); ++rank) {
    std::string bytes;
    const auto put = [&bytes](std::int64_t value) {
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    };
    for (const AnswerRecord& record :
         rank == group.rank() ? records : std::vector<AnswerRecord>()) {
      put(record.example);
      put(record.is_whole ? 1 : 0);
      put(record.is_right ? 1 : 0);
      put(std::ssize(record.tokens));
      for (const std::int32_t token : record.tokens) {
        put(token);
      }
    }
    group.broadcast(bytes, rank);
    const char* at = bytes.data();
    const auto take = [&at] {
      std::int64_t value = 0;
      std::memcpy(&value, at, sizeof value);
      at += sizeof value;
      return value;
    };
    while (at < bytes.data() + bytes.size()) {
      AnswerRecord& record = all.emplace_back();
      record.example = take();
      record.is_whole = take() != 0;
      record.is_right = take() != 0;
      record.tokens.resize(static_cast<std::size_t>(take()));
      for (std::int32_t& token : record.tokens) {
        token = static_cast<std::int32_t>(take());
      }
    }
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
                             const Pulse& pulse, std::vector<AnswerRecord>* records) {
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
  const std::int64_t groups =
      (static_cast<std::int64_t>(asked.size()) + kPromptsAtOnce - 1) / kPromptsAtOnce;
  const MicroBatchRange mine = micro_batches_of(groups, group.rank(), group.size());
  AnswerCounts counts;
  std::vector<proto::Sample> own;
  std::vector<AnswerRecord> own_records;
  for (std::int64_t g = mine.begin; g < mine.end; ++g) {
    const std::int64_t begin = g * kPromptsAtOnce;
    const std::int64_t end =
        std::min(begin + kPromptsAtOnce, static_cast<std::int64_t>(asked.size()));
    std::vector<std::vector<std::int32_t>> prompts;
    for (std::int64_t i = begin; i < end; ++i) {
      const ExampleView example = dataset[asked[static_cast<std::size_t>(i)]];
      prompts.emplace_back(example.tokens.begin(), example.tokens.begin() + example.num_prompt);
    }
    const auto answers = generator.greedy(prompts, options.max_new, options.stop);
    for (std::int64_t i = begin; i < end; ++i) {
      const ExampleView example = dataset[asked[static_cast<std::size_t>(i)]];
      const std::string answer = tokenizer.decode(answers[static_cast<std::size_t>(i - begin)]);
      bool is_right = answer == example.response;
      counts.equal += static_cast<std::int64_t>(is_right);
      if (verifier != nullptr) {
        const Verdict verdict = verifier->verify(example.verified_prompt(), answer);
        ++counts.verdicts[static_cast<std::size_t>(verdict)];
        is_right = verdict == Verdict::kRight;
      }
      if (records != nullptr) {
        const auto& tokens = answers[static_cast<std::size_t>(i - begin)];
        own_records.push_back({asked[static_cast<std::size_t>(i)], tokens,
                               std::ssize(tokens) < options.max_new, is_right});
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
  if (records != nullptr) {
    gather_in_order(group, own_records, *records);
  }
  counts.n = std::ssize(asked);
  counts.equal = group.sum(counts.equal);
  for (std::int64_t& verdict : counts.verdicts) {
    verdict = group.sum(verdict);
  }
  return counts;
}

}  // namespace finescale
