// SPDX-License-Identifier: Apache-2.0
// The largest block of memory that this program has asked for since the last reset. Under a
// sanitizer, which has operators of its own, always 0.
#pragma once

#include <cstddef>

namespace finescale {

void reset_largest_allocation();
[[nodiscard]] std::size_t largest_allocation();

}  // namespace finescale
