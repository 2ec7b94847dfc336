// SPDX-License-Identifier: Apache-2.0
// What train.precision means to the engine. Stages that only measure or generate work in f32.
#pragma once

#include "configs/schema/train.pb.h"
#include "core/device.h"
#include "core/tensor.h"
#include "worker/engine.h"

namespace finescale {

[[nodiscard]] DType storage_of(config::Precision precision);
[[nodiscard]] Products products_of(config::Precision precision);
// The same mesh and device with the products of this training.
[[nodiscard]] Engine engine_for(const Engine& engine, const config::Train& train);

}  // namespace finescale
