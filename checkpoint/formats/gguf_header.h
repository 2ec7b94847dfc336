// SPDX-License-Identifier: Apache-2.0
// The header of a GGUF file, version 2 or 3: metadata and where each tensor's blocks lie. Pure:
// bytes in, validated structure out, so that tests need no files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/formats/gguf_metadata.h"
#include "checkpoint/formats/gguf_types.h"
#include "core/tensor.h"

namespace finescale {

inline constexpr std::string_view kGgufMagic = "GGUF";
inline constexpr std::uint64_t kGgufDefaultAlignment = 32;  // bytes, where no key says otherwise

struct GgufTensor {
  std::string name;
  const GgufTypeInfo* type = nullptr;
  Shape shape;               // row-major, outermost first: the file has them the other way round
  std::uint64_t offset = 0;  // of its first block in the file

  [[nodiscard]] std::uint64_t size_bytes() const {
    return static_cast<std::uint64_t>(shape.num_elements() / type->block_elements *
                                      type->block_bytes);
  }
};

struct GgufHeader {
  std::uint32_t version = 3;
  GgufMetadata metadata;            // views of the bytes that were parsed
  std::vector<GgufTensor> tensors;  // sorted by name
  std::uint64_t data_begin = 0;
};

// `file` is the whole file: every count, length, offset and size is checked against it. Throws
// kData with the byte and the field. `path` is for messages.
[[nodiscard]] GgufHeader parse_gguf(std::string_view file, const std::string& path);

}  // namespace finescale
