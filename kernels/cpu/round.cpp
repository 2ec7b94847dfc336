// SPDX-License-Identifier: Apache-2.0
#include "kernels/round.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/error.h"
#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

namespace finescale::cpu {

namespace {

std::uint32_t bits_of(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
std::uint32_t bits_of(std::uint16_t value) {
  return std::uint32_t{value} << 16;
}

// The upper half is the result.
std::uint32_t rounded_bits(std::uint32_t bits) {
  constexpr std::uint32_t kInfinity = 0x7f800000;
  constexpr std::uint32_t kQuiet = 0x00400000;
  return (bits & 0x7fffffff) > kInfinity ? bits | kQuiet : bits + 0x7fff + (bits >> 16 & 1);
}

void store(std::uint32_t bits, float* to) {
  bits &= 0xffff0000;
  std::memcpy(to, &bits, sizeof bits);
}
void store(std::uint32_t bits, std::uint16_t* to) {
  *to = static_cast<std::uint16_t>(bits >> 16);
}

template <class From, class To>
void round_rows(const TensorView& x, const TensorView& rounded) {
  const std::int64_t grain = 1 + kGrainElements / std::max<std::int64_t>(1, x.cols());
  parallel_for(x.rows(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const From* const from = x.as<From>() + i * x.row_stride;
      To* const to = rounded.as<To>() + i * rounded.row_stride;
      for (std::int64_t j = 0; j < x.cols(); ++j) {
        store(rounded_bits(bits_of(from[j])), to + j);
      }
    }
  });
}

bool is_rounded_to(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBf16;
}

}  // namespace

void round_to_bf16(const Stream& /*stream*/, const TensorView& x, const TensorView& rounded) {
  FS_CHECK(x.shape == rounded.shape && is_rounded_to(x.dtype) && is_rounded_to(rounded.dtype),
           "rounding of " + x.shape.text() + " to " + rounded.shape.text());
  const bool wide = rounded.dtype == DType::kF32;
  if (x.dtype == DType::kF32) {
    wide ? round_rows<float, float>(x, rounded) : round_rows<float, std::uint16_t>(x, rounded);
  } else {
    wide ? round_rows<std::uint16_t, float>(x, rounded)
         : round_rows<std::uint16_t, std::uint16_t>(x, rounded);
  }
}

}  // namespace finescale::cpu
