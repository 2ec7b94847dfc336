// SPDX-License-Identifier: Apache-2.0
// What train.precision means to the engine. Stages that only measure or generate work in f32.
#pragma once

#include "configs/schema/train.pb.h"
#include "core/device.h"
#include "core/tensor.h"
#include "worker/base_model.h"
#include "worker/engine.h"

namespace finescale {

[[nodiscard]] DType storage_of(config::Precision precision);
[[nodiscard]] Products products_of(config::Precision precision);
// The same mesh and device with the products of this training.
[[nodiscard]] Engine engine_for(const Engine& engine, const config::Train& train);
// Whether products round what does not train once, where it lies, and keep it.
[[nodiscard]] bool keeps_rounded(const Engine& engine);
// What this training needs of a base that it does not change.
[[nodiscard]] BaseForm base_form(const Engine& engine, const config::Train& train);

}  // namespace finescale
