// SPDX-License-Identifier: Apache-2.0
// How many threads a rank should run when nobody says: ranks of one host share its processors,
// ranks of different hosts do not, and a launcher may have bound them.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "comm/group.h"

namespace finescale {

struct ProcessorSet {
  std::uint64_t host = 0;                // equal on ranks of one host
  std::array<std::uint64_t, 64> bits{};  // processors that the rank may run on
  [[nodiscard]] bool has(std::size_t processor) const noexcept {
    return ((bits[processor / 64] >> (processor % 64)) & 1) != 0;
  }
};

// Of the calling process.
[[nodiscard]] ProcessorSet own_processors();

// Each processor of `mine` shared evenly by those of `all` that may run on it; at least 1.
[[nodiscard]] int processor_share(const ProcessorSet& mine, std::span<const ProcessorSet> all);
// Collective over the group.
[[nodiscard]] int processor_share(Group& group);

}  // namespace finescale
