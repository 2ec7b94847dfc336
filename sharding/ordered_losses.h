// SPDX-License-Identifier: Apache-2.0
// Sums of one number per micro-batch in the order of the gradient tree, whoever holds which.
#pragma once

#include <cstdint>
#include <span>

#include "comm/group.h"

namespace finescale {

// values[i] belongs to micro-batch indices[i] of num_micro_batches; a rank holds at most `slots` of
// them, the same number on every rank. 0 for no micro-batch. Collective over the group.
[[nodiscard]] double ordered_sum_of(Group& group, std::int64_t num_micro_batches,
                                    std::int64_t slots, std::span<const std::int64_t> indices,
                                    std::span<const double> values);

}  // namespace finescale
