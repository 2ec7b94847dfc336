// SPDX-License-Identifier: Apache-2.0
#include "core/random.h"

#include <bit>
#include <cmath>
#include <numbers>

namespace finescale {

namespace {

constexpr std::uint32_t kMultiplier0 = 0xD2511F53;
constexpr std::uint32_t kMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9;
constexpr std::uint32_t kWeyl1 = 0xBB67AE85;

}  // namespace

std::array<std::uint32_t, 4> philox(std::uint64_t seed, Purpose purpose, std::uint64_t a,
                                    std::uint64_t b) noexcept {
  std::array<std::uint32_t, 4> x = {
      static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(a >> 32),
      static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(b >> 32)};
  // The purpose is spread over both key words so that seeds 0, 1, 2, ... of two purposes never
  // share a key.
  std::uint32_t key0 =
      static_cast<std::uint32_t>(seed) ^ (static_cast<std::uint32_t>(purpose) * 0x85EBCA6B);
  std::uint32_t key1 =
      static_cast<std::uint32_t>(seed >> 32) + static_cast<std::uint32_t>(purpose) * 0xC2B2AE35;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{kMultiplier0} * x[0];
    const std::uint64_t product1 = std::uint64_t{kMultiplier1} * x[2];
    x = {static_cast<std::uint32_t>(product1 >> 32) ^ x[1] ^ key0,
         static_cast<std::uint32_t>(product1),
         static_cast<std::uint32_t>(product0 >> 32) ^ x[3] ^ key1,
         static_cast<std::uint32_t>(product0)};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return x;
}

Random::Random(std::uint64_t seed, Purpose purpose, std::uint64_t stream) noexcept
    : seed_(seed), purpose_(purpose), stream_(stream) {}

std::uint32_t Random::next_u32() noexcept {
  if (used_ == 4) {
    block_ = philox(seed_, purpose_, counter_++, stream_);
    used_ = 0;
  }
  return block_[static_cast<std::size_t>(used_++)];
}

std::uint64_t Random::next_u64() noexcept {
  const std::uint64_t low = next_u32();
  return low | (std::uint64_t{next_u32()} << 32);
}

double Random::uniform() noexcept {
  return static_cast<double>(next_u64() >> 11) * 0x1.0p-53;
}

std::uint64_t Random::below(std::uint64_t n) noexcept {
  const std::uint64_t limit = n * (~std::uint64_t{0} / n);  // rejection: no value is favoured
  std::uint64_t value = next_u64();
  while (value >= limit) {
    value = next_u64();
  }
  return value % n;
}

double Random::normal() noexcept {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  const double angle = 2.0 * std::numbers::pi * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

Permutation::Permutation(std::uint64_t n, std::uint64_t seed, Purpose purpose) noexcept
    : n_(n),
      seed_(seed),
      purpose_(purpose),
      half_bits_((static_cast<int>(std::bit_width(n > 1 ? n - 1 : 1)) + 1) / 2) {}

std::uint64_t Permutation::operator[](std::uint64_t index) const noexcept {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t value = index;
  do {  // cycle walking: the network permutes [0, 4^half_bits), values outside [0, n) go through it
        // again
    std::uint64_t left = value >> half_bits_;
    std::uint64_t right = value & mask;
    for (std::uint64_t round = 0; round < 6; ++round) {
      const auto words = philox(seed_, purpose_, right, round | (n_ << 8));
      const std::uint64_t mixed = (left ^ words[0] ^ (std::uint64_t{words[1]} << 32)) & mask;
      left = right;
      right = mixed;
    }
    value = (left << half_bits_) | right;
  } while (value >= n_);
  return value;
}

}  // namespace finescale
