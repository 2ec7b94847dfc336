// SPDX-License-Identifier: Apache-2.0
// Executes a train stage: model, method, data, optimizer; resume; the loop; the artifact's
// checkpoint.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/proto/gang.pb.h"
#include "comm/proto/result.pb.h"
#include "configs/schema/stage.pb.h"
#include "core/log.h"
#include "worker/engine.h"
#include "worker/memory_use.h"
#include "worker/resident.h"
#include "worker/stage_executor.h"

namespace finescale {

struct TrainStageInput {
  const config::StageSpec* spec = nullptr;
  const AttemptPlace* place = nullptr;
  const StageHooks* hooks = nullptr;
  const InputDirs* dirs = nullptr;
  const Engine* engine = nullptr;
  Resident* resident = nullptr;
  Logger* logger = nullptr;
  MemoryUse* memory = nullptr;  // what the stage allocated on this rank
};

// Leaves checkpoint.h5 in the attempt's directory unless the outcome is STOPPED (then a step-<n>.h5
// is there). base_key: artifact of the frozen base when an adapter was trained. Collective over the
// world.
[[nodiscard]] proto::StageResult run_train_stage(const TrainStageInput& input,
                                                 std::string* base_key);

}  // namespace finescale
