// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as record files of other programs want it.
// For what is ours: core/hash.h.
#pragma once

#include <cstdint>
#include <string_view>

namespace finescale {

[[nodiscard]] std::uint32_t crc32c(std::string_view bytes) noexcept;

}  // namespace finescale
