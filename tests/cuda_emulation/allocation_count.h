// SPDX-License-Identifier: Apache-2.0
// How often this program asked for memory by new; -1 under a sanitizer, which counts its own way.
#pragma once

#include <cstdint>

namespace finescale {

[[nodiscard]] std::int64_t num_allocations();

}  // namespace finescale
