// SPDX-License-Identifier: Apache-2.0
// An opened model ready to compute on this process, with its adapter.
#pragma once

#include <cstdint>

#include "worker/engine.h"
#include "worker/import/open_model.h"
#include "worker/resident.h"

namespace finescale {

// The adapter is merged into the weights, or lies beside them when it is no change of matrices.
// Takes the weights and the adapter's modules of `opened`.
[[nodiscard]] AdaptedModel adapted_model(const Engine& engine, OpenedModel& opened,
                                         ModelUse use = ModelUse::kMeasures);

}  // namespace finescale
