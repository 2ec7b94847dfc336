// SPDX-License-Identifier: Apache-2.0
// What a sweep may ask for that GPUs do not do yet.
#pragma once

#include <optional>
#include <string>

#include "configs/schema/sweep.pb.h"

namespace finescale {

struct GpuFault {
  std::string field;    // within the message: "method"
  std::string message;  // "this method has no GPU kernels in this version"
};

// GPUs have full and lora (with fresh A and B). Empty: this is one of them.
[[nodiscard]] std::optional<GpuFault> gpu_fault(const config::Method& method);
// They train with sft and adamw, in f32 and bf16.
[[nodiscard]] std::optional<GpuFault> gpu_fault(const config::Train& train);
// They cut data and optimizer state (data, shard), not layers.
[[nodiscard]] std::optional<GpuFault> gpu_fault(const config::Mesh& mesh);

}  // namespace finescale
