// SPDX-License-Identifier: Apache-2.0
// What this program asks of operator new. Under a sanitizer, which has operators of its own,
// nothing is seen.
#pragma once

#include <cstddef>
#include <cstdint>

namespace finescale {

// The largest block since the last reset; 0 under a sanitizer.
void reset_largest_allocation();
[[nodiscard]] std::size_t largest_allocation();
// Of all threads so far; -1 under a sanitizer.
[[nodiscard]] std::int64_t num_allocations();

}  // namespace finescale
