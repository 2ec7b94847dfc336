// SPDX-License-Identifier: Apache-2.0
// Learning rate against step.
#pragma once

#include <cstdint>

#include "configs/schema/train.pb.h"

namespace finescale {

// Rate of update `step` (1-based) of num_steps. Warm-up rises linearly over warmup.steps; the decay
// of each kind then goes over the rest (linear, cosine) or over the last ceil(decay x num_steps)
// steps (wsd: 1 - sqrt(t), arXiv 2405.18392).
[[nodiscard]] double learning_rate_at(const config::Train& train, std::int64_t step,
                                      std::int64_t num_steps);

// Updates at the beginning whose rate does not depend on num_steps: runs of other lengths share
// them.
[[nodiscard]] std::int64_t first_decay(const config::Train& train, std::int64_t num_steps);

}  // namespace finescale
