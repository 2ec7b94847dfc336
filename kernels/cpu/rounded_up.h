// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace finescale::cpu {

// The least multiple of `to` that is not below count.
constexpr std::int64_t rounded_up(std::int64_t count, std::int64_t to) {
  return (count + to - 1) / to * to;
}

}  // namespace finescale::cpu
