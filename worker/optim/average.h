// SPDX-License-Identifier: Apache-2.0
// A mean of the weights over updates, which a stage leaves instead of the last weights. Pure.
#pragma once

#include <cstdint>

#include "configs/schema/train.pb.h"

namespace finescale {

[[nodiscard]] bool has_average(const config::Train& train);
// After update `step` (from 1) the mean moves by this part of its way to the weights: 0: not at
// all, 1: it is the weights.
[[nodiscard]] double part_in_average(const config::Average& average, std::int64_t step,
                                     std::int64_t num_steps);

}  // namespace finescale
