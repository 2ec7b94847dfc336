// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf_encode.h"

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstring>

#include "checkpoint/formats/half.h"
#include "core/error.h"

namespace finescale {

namespace {

constexpr std::int64_t kQ8Elements = 32;
constexpr std::int64_t kQ8Bytes = 34;
constexpr std::uint16_t kHalfInfinity = 0x7C00;

bool encode_half(const float* from, std::int64_t count, std::byte* to) {
  bool finite = true;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint16_t half = to_f16(from[i]);
    finite = finite && (half & kHalfInfinity) != kHalfInfinity;
    std::memcpy(to + 2 * i, &half, 2);
  }
  return finite;
}

// The scale is the largest magnitude / 127; weights are rounded half away from zero.
bool encode_q8(const float* from, std::byte* to) {
  float largest = 0;
  bool finite = true;
  for (std::int64_t j = 0; j < kQ8Elements; ++j) {
    largest = std::max(largest, std::abs(from[j]));
    finite = finite && std::isfinite(from[j]);
  }
  const float scale = largest / 127.0F;
  const std::uint16_t half = to_f16(scale);
  // Of a scale near the smallest floats the inverse is infinite; in half precision it is zero.
  const float inverse = scale == 0 || !std::isfinite(1 / scale) ? 0 : 1 / scale;
  std::memcpy(to, &half, 2);
  for (std::int64_t j = 0; j < kQ8Elements; ++j) {
    const float q = finite ? std::round(from[j] * inverse) : 0;
    to[2 + j] = static_cast<std::byte>(static_cast<std::int8_t>(q));
  }
  return finite && (half & kHalfInfinity) != kHalfInfinity;
}

// Training threads count tiny numbers as zero; what is written must not depend on who writes.
class KeepTinyNumbers {
 public:
  KeepTinyNumbers() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~KeepTinyNumbers() { std::fesetenv(&before_); }
  KeepTinyNumbers(const KeepTinyNumbers&) = delete;
  KeepTinyNumbers& operator=(const KeepTinyNumbers&) = delete;

 private:
  std::fenv_t before_{};
};

}  // namespace

bool can_encode_gguf(GgufType type) noexcept {
  return type == GgufType::kF32 || type == GgufType::kF16 || type == GgufType::kQ80;
}

bool encode_gguf_blocks(GgufType type, const float* from, std::int64_t blocks, std::byte* to) {
  FS_CHECK(can_encode_gguf(type), gguf_type_info(type).name);
  const KeepTinyNumbers keep;
  if (type == GgufType::kF16) {
    return encode_half(from, blocks, to);
  }
  bool finite = true;
  if (type == GgufType::kF32) {
    std::memcpy(to, from, static_cast<std::size_t>(blocks) * sizeof(float));
    for (std::int64_t i = 0; i < blocks; ++i) {
      finite = finite && std::isfinite(from[i]);
    }
    return finite;
  }
  for (std::int64_t block = 0; block < blocks; ++block) {
    finite = encode_q8(from + block * kQ8Elements, to + block * kQ8Bytes) && finite;
  }
  return finite;
}

}  // namespace finescale
