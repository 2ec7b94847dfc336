// SPDX-License-Identifier: Apache-2.0
// Blocks of a GGUF tensor to f32, with the bits of the reference implementation: products of a
// half-precision scale and a small integer are exact in f32, so only one addition rounds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "checkpoint/formats/gguf_types.h"

namespace finescale {

// `blocks` whole blocks at `from` (any alignment) to `out` [blocks * block_elements].
void decode_gguf_blocks(GgufType type, const std::byte* from, std::int64_t blocks, float* out);

}  // namespace finescale
