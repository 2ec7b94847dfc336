// SPDX-License-Identifier: Apache-2.0
// Weights with what quantisation leaves of them: an adapter that was trained on a quantised base
// belongs to these values, not to those of the files.
#pragma once

#include <memory>

#include "worker/import/weight_source.h"
#include "worker/model/quantised_weights.h"

namespace finescale {

[[nodiscard]] std::unique_ptr<WeightSource> quantised_source(std::unique_ptr<WeightSource> base,
                                                             const Quantisation& how);

}  // namespace finescale
