// SPDX-License-Identifier: Apache-2.0
// A model that is only measured: transformers on the values of its pieces.
#pragma once

#include <memory>
#include <vector>

#include "worker/eval/eval_model.h"
#include "worker/resident.h"
#include "worker/unit_events.h"

namespace finescale {

class MeasuredModel {
 public:
  MeasuredModel(const Engine& engine, AdaptedModel model);
  ~MeasuredModel() = default;
  MeasuredModel(const MeasuredModel&) = delete;  // hooks point into it
  MeasuredModel& operator=(const MeasuredModel&) = delete;

  [[nodiscard]] EvalModel& eval() noexcept { return *eval_; }
  [[nodiscard]] const config::ModelConfig& config() const noexcept { return model_.base->config; }

 private:
  AdaptedModel model_;
  std::vector<std::unique_ptr<Transformer>> transformers_;
  std::vector<AlignedBuffer> adapter_memory_;  // of a GPU: methods make their values on the host
  std::unique_ptr<EvalModel> eval_;
};

}  // namespace finescale
