// SPDX-License-Identifier: Apache-2.0
// Writes a GGUF file of version 3: whole under its name, or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/formats/gguf_keys.h"
#include "checkpoint/formats/gguf_types.h"
#include "core/tensor.h"

namespace finescale {

struct GgufSource {
  std::string name;
  Shape shape;  // row-major, outermost first; rows are whole blocks of the type
  GgufType type = GgufType::kF32;
  // Puts elements [begin, end) of the flattened tensor into `out`, f32. Asked for front to back.
  std::function<void(std::int64_t begin, std::int64_t end, const TensorView& out)> fill;
};

// Header and offsets alone, padded to where the data begins.
[[nodiscard]] std::string gguf_header_bytes(const GgufKeys& keys,
                                            const std::vector<GgufSource>& tensors);

// Writes beside, reads it again (structure, and a hash of all bytes), then renames. Throws kData
// naming the tensor whose values the type cannot hold.
void write_gguf(const std::string& path, const GgufKeys& keys,
                const std::vector<GgufSource>& tensors);

}  // namespace finescale
