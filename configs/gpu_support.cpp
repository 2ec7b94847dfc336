// SPDX-License-Identifier: Apache-2.0
#include "configs/gpu_support.h"

namespace finescale {

namespace {

GpuFault no_kernels(const char* field, const char* what) {
  return {field, std::string(what) + " has no GPU kernels in this version"};
}

}  // namespace

std::optional<GpuFault> gpu_fault(const config::Method& method) {
  const bool plain_lora = method.has_lora() && method.lora().init() == config::LORA_INIT_UNIFORM;
  const bool plain_full = method.has_full() && !method.full().has_last_layers();
  if (plain_lora || plain_full || method.kind_case() == config::Method::KIND_NOT_SET) {
    return std::nullopt;
  }
  return no_kernels("method", "this method");
}

std::optional<GpuFault> gpu_fault(const config::Train& train) {
  if (auto fault = gpu_fault(train.method())) {
    return fault;
  }
  if (train.objective().kind_case() != config::Objective::KIND_NOT_SET &&
      !train.objective().has_sft()) {
    return no_kernels("objective", "this objective");
  }
  if (train.optimizer().kind_case() != config::UpdateRule::KIND_NOT_SET &&
      !train.optimizer().has_adamw()) {
    return no_kernels("optimizer", "this update rule");
  }
  if (train.average().kind_case() != config::Average::KIND_NOT_SET) {
    return no_kernels("average", "a mean of the weights");
  }
  if (train.precision() == config::PRECISION_F64) {
    return no_kernels("precision", "precision f64");
  }
  return std::nullopt;
}

std::optional<GpuFault> gpu_fault(const config::Mesh& mesh) {
  if (mesh.tensor() > 1 || mesh.pipeline() > 1) {
    return GpuFault{mesh.tensor() > 1 ? "tensor" : "pipeline",
                    "layers are not cut over GPUs in this version"};
  }
  return std::nullopt;
}

}  // namespace finescale
