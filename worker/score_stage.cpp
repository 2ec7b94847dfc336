// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/error.h"
#include "worker/data/example_file.h"
#include "worker/data/loader.h"
#include "worker/data_stages.h"
#include "worker/eval/evaluate.h"
#include "worker/measured_model.h"
#include "worker/model_fit.h"

namespace finescale {

namespace {

// Losses by example, mean over their labels.
std::vector<double> mean_losses(EvalModel& model, const Dataset& dataset) {
  const std::vector<MicroBatch> batches = evaluation_batches(dataset, kEvaluationTokens);
  std::int64_t largest = kEvaluationTokens;
  for (const MicroBatch& batch : batches) {
    largest = std::max(largest, batch.num_tokens());
  }
  std::vector<double> losses = model.segment_losses(batches, largest);
  FS_CHECK(std::ssize(losses) == dataset.size(), "one segment for each example");
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    losses[static_cast<std::size_t>(i)] /= static_cast<double>(dataset[i].num_labels());
  }
  return losses;
}

}  // namespace

proto::StageResult run_score_stage(const config::ScoreSpec& spec, const Engine& engine,
                                   const DataStageInput& input) {
  MeasuredModel measured(engine,
                         input.resident->adapted(engine, spec.model(), DType::kF32, *input.dirs));
  const auto tokenizer = input.resident->tokenizer(spec.tokenizer(), *input.dirs);
  check_model_fits(measured.config(), *tokenizer, spec.rules());
  std::vector<RawExample> raw = read_raw_examples(located(spec.data(), *input.dirs), spec.rules());
  ExampleBuilder builder(spec.rules(), *tokenizer);
  DatasetCounts counts;
  std::vector<Example> examples;
  std::vector<RawExample> scored;  // those that are not dropped as too long
  for (RawExample& example : raw) {
    try {
      if (auto built = builder.build(example, *input.label, counts)) {
        examples.push_back(std::move(*built));
        scored.push_back(std::move(example));
      }
    } catch (const BadExample& fault) {  // of a chat template
      throw Error(ErrorKind::kData, fault.why, *input.label);
    }
  }
  if (scored.empty()) {
    throw Error(ErrorKind::kData, "no example is left to measure", *input.label,
                std::to_string(counts.dropped) + " were dropped as too long");
  }
  const std::vector<double> losses = mean_losses(measured.eval(), Dataset(examples));
  double sum = 0;
  for (std::size_t i = 0; i < scored.size(); ++i) {
    scored[i].loss = losses[i];
    sum += losses[i];
  }
  if (input.world->rank() == 0) {
    write_examples(input.place->attempt_dir + "/data.jsonl", scored);
  }
  proto::StageResult result;
  result.set_skipped_examples(counts.dropped);
  result.set_truncated_examples(counts.truncated);
  const auto n = std::ssize(scored);
  input.logger->info("{}: {} examples", *input.label, n);
  add_metric(input, "loss", sum / static_cast<double>(n), n, result);
  result.set_outcome(proto::StageResult::DONE);
  return result;
}

}  // namespace finescale
