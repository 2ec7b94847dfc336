// SPDX-License-Identifier: Apache-2.0
// An opened model ready to compute on this process, with its adapter.
#pragma once

#include <cstdint>

#include "worker/engine.h"
#include "worker/import/open_model.h"
#include "worker/resident.h"

namespace finescale {

// What a model is opened for. kGenerates: matrices that the files store as bf16 are kept as that
// alone, half the memory and the same bits; only a Decoder reads them.
enum class ModelUse : std::uint8_t { kMeasures, kGenerates };

// The adapter is merged into the weights, or lies beside them when it is no change of matrices.
// Takes the weights and the adapter's modules of `opened`.
[[nodiscard]] AdaptedModel adapted_model(const Engine& engine, OpenedModel& opened,
                                         ModelUse use = ModelUse::kMeasures);

}  // namespace finescale
