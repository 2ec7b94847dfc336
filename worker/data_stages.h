// SPDX-License-Identifier: Apache-2.0
// Executes the stages that leave examples: answers, scores, choices. Each leaves data.jsonl in the
// attempt's directory unless the outcome is STOPPED. Collective over the world; the bits do not
// depend on the number of ranks.
#pragma once

#include "comm/proto/result.pb.h"
#include "configs/schema/stage.pb.h"
#include "core/log.h"
#include "worker/engine.h"
#include "worker/resident.h"
#include "worker/stage_executor.h"

namespace finescale {

struct DataStageInput {
  const std::string* label = nullptr;  // of the stage: names the set of its metrics
  const AttemptPlace* place = nullptr;
  const StageHooks* hooks = nullptr;
  const InputDirs* dirs = nullptr;
  Group* world = nullptr;
  Resident* resident = nullptr;
  Logger* logger = nullptr;
};

// Keeps the answers so far in partial.jsonl, from which a later attempt goes on.
[[nodiscard]] proto::StageResult run_generate_stage(const config::GenerateSpec& spec,
                                                    const Engine& engine,
                                                    const DataStageInput& input);
[[nodiscard]] proto::StageResult run_score_stage(const config::ScoreSpec& spec,
                                                 const Engine& engine, const DataStageInput& input);
[[nodiscard]] proto::StageResult run_select_stage(const config::SelectSpec& spec,
                                                  const DataStageInput& input);

// <label>.<metric> of n examples.
void add_metric(const DataStageInput& input, const std::string& metric, double value,
                std::int64_t n, proto::StageResult& result);

}  // namespace finescale
