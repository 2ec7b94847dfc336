// SPDX-License-Identifier: Apache-2.0
// A sum of doubles without rounding: a fixed-point number over the whole range of double, so any
// order and any split of the additions give the same value. One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace finescale {

class ExactSum {
 public:
  void add(double value) noexcept;
  void merge(const ExactSum& other) noexcept;
  // The sum rounded to the nearest double, ties to even; infinite or NaN when an addend was, as the
  // additions one by one would have been; infinite when the sum itself exceeds double.
  [[nodiscard]] double value() const noexcept;

  // As integers, for other ranks. The same sum gives the same words, and the element-wise sum of up
  // to 2^30 such arrays stands for the sum of what they stand for.
  static constexpr int kNumWords = 71;
  using Words = std::array<std::int64_t, kNumWords>;
  [[nodiscard]] Words words() const noexcept;
  static ExactSum from_words(std::span<const std::int64_t, kNumWords> words) noexcept;

 private:
  // Limb i counts units of 2^(32 i - 1074). Doubles need 2098 bits; two more limbs take the carries
  // of 2^64 addends and the sign.
  static constexpr int kNumLimbs = 68;
  static constexpr int kBits = 32;
  using Limbs = std::array<std::int64_t, kNumLimbs>;
  static void carry(Limbs& limbs) noexcept;
  [[nodiscard]] static double round(const Limbs& magnitude) noexcept;

  Limbs limbs_{};
  // Additions since the limbs were last in [0, 2^32): each adds less than 2^32 to a limb.
  std::int64_t pending_ = 0;
  std::int64_t num_nan_ = 0;
  std::int64_t num_plus_infinity_ = 0;
  std::int64_t num_minus_infinity_ = 0;
};

}  // namespace finescale
