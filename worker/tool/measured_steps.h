// SPDX-License-Identifier: Apache-2.0
// A model of a shape on one rank, without a gang: trains the first batches of a run to see how long
// a step takes, and answers prompts.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "configs/schema/model.pb.h"
#include "configs/schema/train.pb.h"
#include "worker/measured_model.h"
#include "worker/single_engine.h"
#include "worker/train_model.h"

namespace finescale {

class MeasuredSteps {
 public:
  // Fresh weights. The loader is used by seconds_per_token and eval_seconds_per_token. teacher: of
  // a distilling objective.
  MeasuredSteps(const config::ModelConfig& config, const config::Train& train,
                const TrainLoader& loader, const config::ModelConfig& teacher);

  // Median over steps, for about half a second, with the threads that are set.
  [[nodiscard]] double seconds_per_token();
  [[nodiscard]] double eval_seconds_per_token();
  [[nodiscard]] double answer_seconds(const std::vector<std::vector<std::int32_t>>& prompts,
                                      std::int64_t max_new);

 private:
  SingleEngine single_;
  BaseModel base_;
  std::unique_ptr<MeasuredModel> teacher_model_;
  std::unique_ptr<Teacher> teacher_;
  std::unique_ptr<TrainModel> model_;
  const TrainLoader* loader_;
  double learning_rate_;
  std::int64_t next_step_ = 0;
};

}  // namespace finescale
