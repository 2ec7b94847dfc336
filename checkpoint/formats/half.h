// SPDX-License-Identifier: Apache-2.0
// Sixteen-bit floating point to f32, exactly, and back, to the nearest with ties to even.
// Subnormal numbers, infinities and NaN are converted by the book, whatever the processor's flags.
#pragma once

#include <bit>
#include <cstdint>

namespace finescale {

[[nodiscard]] inline float from_bf16(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

[[nodiscard]] inline float from_f16(std::uint16_t bits) noexcept {
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t rest = bits & 0x7fffU;
  // Exponents of f16 and f32 are biased by 15 and 127; a subnormal is a count of 2^-24.
  const auto normal = (rest << 13) + (112U << 23);
  const auto subnormal = std::bit_cast<std::uint32_t>(static_cast<float>(rest) * 0x1.0p-24F);
  const auto special = (rest << 13) | 0x7f800000U;
  const std::uint32_t value = rest >= 0x7c00U ? special : rest >= 0x0400U ? normal : subnormal;
  return std::bit_cast<float>(sign | value);
}

[[nodiscard]] inline std::uint16_t to_bf16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) {  // NaN stays one
    return static_cast<std::uint16_t>((bits >> 16) | 0x0040U);
  }
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

[[nodiscard]] inline std::uint16_t to_f16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t rest = bits & 0x7fffffffU;
  if (rest > 0x7f800000U) {
    return sign | 0x7e00U;
  }
  if (rest >= 0x477ff000U) {  // 65520 and more round to infinity
    return sign | 0x7c00U;
  }
  if (rest < 0x38800000U) {  // below 2^-14: a count of 2^-24, rounded by an addition
    const auto moved = std::bit_cast<float>(rest) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(moved) - 0x3f000000U));
  }
  const std::uint32_t rounded = rest + 0xfffU + ((rest >> 13) & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded - (112U << 23)) >> 13));
}

}  // namespace finescale
