// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file: eight bytes of length, then JSON, then data. Everything is
// checked here, so that whoever reads data may trust offsets and shapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/formats/tensor_file.h"

namespace finescale {

struct SafetensorsEntry {
  FileTensorInfo info;
  std::uint64_t begin = 0;  // bytes of the file
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;        // sorted by name
  std::map<std::string, std::string> metadata;  // __metadata__
};

// Bits of an element of a type as the format spells it; 0: no such type.
[[nodiscard]] int safetensors_bits(std::string_view dtype) noexcept;

// `bytes` is the whole file. Throws kData whose place names the byte and the field. Memory stays in
// proportion to the file's size.
[[nodiscard]] SafetensorsHeader parse_safetensors_header(std::string_view bytes,
                                                         const std::string& path);

}  // namespace finescale
