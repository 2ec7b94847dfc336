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
  if (plain_lora || plain_full || method.has_qlora() ||
      method.kind_case() == config::Method::KIND_NOT_SET) {
    return std::nullopt;
  }
  return no_kernels("method", "this method");
}

std::optional<GpuFault> gpu_fault(const config::Train& train) {
  if (auto fault = gpu_fault(train.method())) {
    return fault;
  }
  switch (train.objective().kind_case()) {
    case config::Objective::KIND_NOT_SET:
    case config::Objective::kSft:
    case config::Objective::kDpo:
    case config::Objective::kSimpo:
    case config::Objective::kOrpo:
    case config::Objective::kCpo:
      break;
    default:
      return no_kernels("objective", "this objective");
  }
  switch (train.optimizer().kind_case()) {
    case config::UpdateRule::KIND_NOT_SET:
    case config::UpdateRule::kAdamw:
    case config::UpdateRule::kSgd:
    case config::UpdateRule::kLion:
      break;
    default:
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

}  // namespace finescale
