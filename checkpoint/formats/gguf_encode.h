// SPDX-License-Identifier: Apache-2.0
// f32 to blocks of a GGUF tensor, with the bits of the reference implementation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "checkpoint/formats/gguf_types.h"

namespace finescale {

// F32, F16 or Q8_0: what is written here.
[[nodiscard]] bool can_encode_gguf(GgufType type) noexcept;
// `blocks` whole blocks from `from` to `to`. False when a value or a scale is not finite in the
// type: too large for half precision, or NaN or infinite already.
[[nodiscard]] bool encode_gguf_blocks(GgufType type, const float* from, std::int64_t blocks,
                                      std::byte* to);

}  // namespace finescale
