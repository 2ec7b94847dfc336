// SPDX-License-Identifier: Apache-2.0
// How much of a matrix of few bits exists as values at once: products make panels by this rule, the
// planner counts by it. Pure.
#pragma once

#include <cstdint>

namespace finescale {

// Elements: what stays in the caches of a core, and what keeps a GPU busy.
inline constexpr std::int64_t kQuantPanel = 1 << 18;
inline constexpr std::int64_t kGpuQuantPanel = 1 << 24;

}  // namespace finescale
