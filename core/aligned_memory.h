// SPDX-License-Identifier: Apache-2.0
// Memory for numbers: aligned for the widest vector, and in pages of 2 MiB where it is large and
// the kernel grants them. Those are touched 512 times less often for the first time (a model's
// weights: a tenth of a second a half GB) and need fewer entries of the TLB afterwards.
#pragma once

#include <cstddef>

namespace finescale {

inline constexpr std::size_t kMemoryAlignment = 64;  // bytes: a cache line, and the widest vector

// Uninitialised; null when there is none. Freed by std::free.
[[nodiscard]] void* allocate_aligned(std::size_t size_bytes) noexcept;

}  // namespace finescale
