// SPDX-License-Identifier: Apache-2.0
// The training loop: restore; while not done { batch; forward, backward and the sum of gradients;
// norm; clip and update; every N: record, evaluate, save; heartbeat }. Every step of it is
// collective over the mesh.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "comm/proto/result.pb.h"
#include "configs/schema/train.pb.h"
#include "sharding/mesh.h"
#include "worker/data/loader.h"
#include "worker/train_model.h"

namespace finescale {

// What a resume needs besides tensors.
struct TrainProgress {
  std::int64_t step = 0;  // updates done
  std::int64_t tokens = 0;
  std::int64_t labels = 0;
  std::int64_t examples = 0;
  double seconds = 0;
  double flops = 0;
  std::optional<double> best_loss;  // keep: best
  std::int64_t best_step = 0;
  proto::StageResult rows;  // step and eval rows so far, and what trunks have done of them
};

struct TrainParts {
  Mesh* mesh = nullptr;
  const config::Train* config = nullptr;
  const TrainLoader* loader = nullptr;
  TrainModel* model = nullptr;
  std::int64_t end = 0;  // updates when the loop ends; the rate follows from the loader's steps
  // After each update: false in the common case, true to stop (the same on all ranks).
  std::function<bool(double loss, double tokens_per_second)> pulse;
  // Evaluates and appends to progress.rows; returns the loss of the first set. Collective over the
  // world.
  std::function<double(TrainProgress&)> evaluate;
  // Writes a checkpoint for resume. Collective over the world.
  std::function<void(const TrainProgress&)> save;
};

enum class TrainOutcome { kDone, kDiverged, kStopped };

// Collective over the world.
[[nodiscard]] TrainOutcome run_train_loop(const TrainParts& parts, TrainProgress& progress);

}  // namespace finescale
