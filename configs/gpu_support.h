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
// They train with sft and the objectives of preferences, with adamw, sgd or lion, in f32 and bf16.
[[nodiscard]] std::optional<GpuFault> gpu_fault(const config::Train& train);

}  // namespace finescale
