// SPDX-License-Identifier: Apache-2.0
// Types of GGUF tensors that can be read: blocks of 1, 32 or 256 weights that share scales.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace finescale {

enum class GgufType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ40 = 2,
  kQ41 = 3,
  kQ50 = 6,
  kQ51 = 7,
  kQ80 = 8,
  kQ4K = 12,
  kQ5K = 13,
  kQ6K = 14,
  kBf16 = 30,
};

struct GgufTypeInfo {
  GgufType type;
  const char* name;  // as the format spells it: Q4_K
  std::int64_t block_elements;
  std::int64_t block_bytes;
};

// Null for a code that is unknown or cannot be read here.
[[nodiscard]] const GgufTypeInfo* find_gguf_type(std::uint32_t code) noexcept;
[[nodiscard]] const GgufTypeInfo& gguf_type_info(GgufType type);
// For messages: the format's name of any code, or the number.
[[nodiscard]] std::string gguf_type_name(std::uint32_t code);
[[nodiscard]] std::string gguf_type_list();  // "F32, F16, ..."

// Types of metadata values.
enum class GgufValueType : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
inline constexpr std::uint32_t kGgufValueTypes = 13;

[[nodiscard]] const char* gguf_value_type_name(GgufValueType type) noexcept;
// Bytes of a number or truth value; 0 for strings and arrays, whose size is in the file.
[[nodiscard]] std::uint64_t gguf_value_size(GgufValueType type) noexcept;

}  // namespace finescale
