// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"
#include "worker/data/example_file.h"
#include "worker/data_stages.h"
#include "worker/selection/selector.h"

namespace finescale {

void add_metric(const DataStageInput& input, const std::string& metric, double value,
                std::int64_t n, proto::StageResult& result) {
  proto::EvalRow& row = *result.add_evals();
  row.set_step(0);
  row.set_set(*input.label);
  row.set_metric(metric);
  row.set_value(value);
  row.set_n(n);
}

proto::StageResult run_select_stage(const config::SelectSpec& spec, const DataStageInput& input) {
  proto::StageResult result;
  std::vector<RawExample> examples =
      read_raw_examples(located(spec.data(), *input.dirs), spec.rules());
  const auto before = std::ssize(examples);
  const std::unique_ptr<Task> verifier =
      spec.data().has_task() ? make_task(spec.data().task()) : nullptr;
  const SelectionContext context{verifier.get(), static_cast<std::uint64_t>(spec.seed())};
  const std::vector<RawExample> kept =
      make_selector(spec.select())->select(std::move(examples), context);
  if (kept.empty()) {
    throw Error(ErrorKind::kData, "nothing is left of " + std::to_string(before) + " examples",
                *input.label, "generate more answers, or choose less narrowly");
  }
  if (input.world->rank() == 0) {
    write_examples(input.place->attempt_dir + "/data.jsonl", kept);
  }
  input.logger->info("{}: {} of {} examples", *input.label, kept.size(), before);
  add_metric(input, "examples", static_cast<double>(kept.size()), before, result);
  result.set_outcome(proto::StageResult::DONE);
  return result;
}

}  // namespace finescale
