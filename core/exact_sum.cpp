// SPDX-License-Identifier: Apache-2.0
// Works on the bits of doubles, so threads that flush denormal numbers lose none here.
#include "core/exact_sum.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace finescale {

namespace {

constexpr int kFractionBits = 52;
constexpr std::uint64_t kHiddenBit = std::uint64_t{1} << kFractionBits;
constexpr std::uint64_t kExponentMask = 0x7ff;
constexpr std::uint64_t kInfinityBits = kExponentMask << kFractionBits;
constexpr std::uint64_t kLimbMask = 0xffffffff;
constexpr std::int64_t kMaxPending = std::int64_t{1} << 30;  // limbs stay below 2^63

}  // namespace

void ExactSum::add(double value) noexcept {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const bool negative = (bits >> 63) != 0;
  const auto exponent = (bits >> kFractionBits) & kExponentMask;
  std::uint64_t mantissa = bits & (kHiddenBit - 1);
  if (exponent == kExponentMask) {
    ++(mantissa != 0 ? num_nan_ : negative ? num_minus_infinity_ : num_plus_infinity_);
    return;
  }
  std::uint64_t shift = 0;  // denormal numbers count units of 2^-1074
  if (exponent != 0) {
    mantissa |= kHiddenBit;
    shift = exponent - 1;
  }
  const std::size_t limb = shift / kBits;
  const auto low = (mantissa & kLimbMask) << (shift % kBits);
  const auto high = ((mantissa >> kBits) << (shift % kBits)) + (low >> kBits);
  const std::int64_t sign = negative ? -1 : 1;
  limbs_[limb] += sign * static_cast<std::int64_t>(low & kLimbMask);
  limbs_[limb + 1] += sign * static_cast<std::int64_t>(high & kLimbMask);
  limbs_[limb + 2] += sign * static_cast<std::int64_t>(high >> kBits);
  if (++pending_ == kMaxPending) {
    carry(limbs_);
    pending_ = 0;
  }
}

void ExactSum::merge(const ExactSum& other) noexcept {
  Limbs theirs = other.limbs_;
  std::int64_t pending = other.pending_;
  if (pending_ + pending + 1 >= kMaxPending) {
    carry(limbs_);
    carry(theirs);
    pending_ = 0;
    pending = 0;
  }
  for (std::size_t i = 0; i < kNumLimbs; ++i) {
    limbs_[i] += theirs[i];
  }
  pending_ += pending + 1;
  num_nan_ += other.num_nan_;
  num_plus_infinity_ += other.num_plus_infinity_;
  num_minus_infinity_ += other.num_minus_infinity_;
}

// Brings every limb but the last, which has the sign, into [0, 2^32): the one such form of a value.
void ExactSum::carry(Limbs& limbs) noexcept {
  for (std::size_t i = 0; i + 1 < kNumLimbs; ++i) {
    const std::int64_t over = limbs[i] >> kBits;  // towards minus infinity
    limbs[i] &= static_cast<std::int64_t>(kLimbMask);
    limbs[i + 1] += over;
  }
}

double ExactSum::value() const noexcept {
  if (num_nan_ > 0 || (num_plus_infinity_ > 0 && num_minus_infinity_ > 0)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (num_plus_infinity_ > 0 || num_minus_infinity_ > 0) {
    return num_plus_infinity_ > 0 ? std::numeric_limits<double>::infinity()
                                  : -std::numeric_limits<double>::infinity();
  }
  Limbs limbs = limbs_;
  carry(limbs);
  if (limbs.back() >= 0) {
    return round(limbs);
  }
  std::transform(limbs.begin(), limbs.end(), limbs.begin(), [](std::int64_t x) { return -x; });
  carry(limbs);
  return -round(limbs);
}

double ExactSum::round(const Limbs& magnitude) noexcept {
  int top = kNumLimbs - 1;
  const auto at = [&](int i) {
    return i < 0 ? 0 : static_cast<std::uint64_t>(magnitude[static_cast<std::size_t>(i)]);
  };
  while (top > 0 && at(top) == 0) {
    --top;
  }
  const int highest = top * kBits + static_cast<int>(std::bit_width(at(top))) - 1;
  if (highest <= kFractionBits) {  // denormal, or the smallest exponent: the bits are the number
    return std::bit_cast<double>((at(1) << kBits) | at(0));
  }
  const int lowest = highest - kFractionBits;  // the last bit that is kept
  if (lowest >= static_cast<int>(kExponentMask) - 1) {
    return std::numeric_limits<double>::infinity();
  }
  const auto bit = [&](int index) { return (at(index / kBits) >> (index % kBits)) & 1; };
  std::uint64_t mantissa = 0;  // with its hidden bit
  for (int index = highest; index >= lowest; --index) {
    mantissa = (mantissa << 1) | bit(index);
  }
  bool rest = (at((lowest - 1) / kBits) & ((std::uint64_t{1} << ((lowest - 1) % kBits)) - 1)) !=
              0;  // below the half
  for (int i = (lowest - 1) / kBits - 1; i >= 0 && !rest; --i) {
    rest = at(i) != 0;
  }
  const bool up = bit(lowest - 1) != 0 && (rest || (mantissa & 1) != 0);
  // The hidden bit and a carry out of the mantissa both count up the exponent.
  const auto bits = (static_cast<std::uint64_t>(lowest) << kFractionBits) + mantissa + (up ? 1 : 0);
  return std::bit_cast<double>(std::min(bits, kInfinityBits));
}

ExactSum::Words ExactSum::words() const noexcept {
  Limbs limbs = limbs_;
  carry(limbs);
  Words words{};
  std::copy(limbs.begin(), limbs.end(), words.begin());
  words[kNumLimbs] = num_nan_;
  words[kNumLimbs + 1] = num_plus_infinity_;
  words[kNumLimbs + 2] = num_minus_infinity_;
  return words;
}

ExactSum ExactSum::from_words(std::span<const std::int64_t, kNumWords> words) noexcept {
  ExactSum sum;
  std::copy_n(words.begin(), kNumLimbs, sum.limbs_.begin());
  carry(sum.limbs_);
  sum.num_nan_ = words[kNumLimbs];
  sum.num_plus_infinity_ = words[kNumLimbs + 1];
  sum.num_minus_infinity_ = words[kNumLimbs + 2];
  return sum;
}

}  // namespace finescale
