// SPDX-License-Identifier: Apache-2.0
// The scale of a block, made by code that is compiled once: an instruction set that fuses its
// product and sum would have bits of its own.
#pragma once

#include <cstdint>

#include "kernels/quantised.h"

namespace finescale::cpu {

[[nodiscard]] float scale_of(const QuantisedMatrix& matrix, std::int64_t row, std::int64_t block);

}  // namespace finescale::cpu
