// SPDX-License-Identifier: Apache-2.0
#include "core/exact_sum.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"

namespace finescale {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMax = std::numeric_limits<double>::max();
constexpr double kTiny = std::numeric_limits<double>::denorm_min();

std::uint64_t word(std::uint64_t index) {
  const auto words = philox(5, Purpose::kTest, index, 0);
  return (std::uint64_t{words[0]} << 32) | words[1];
}

// Finite doubles of every exponent and sign.
double any_double(std::uint64_t index) {
  for (std::uint64_t attempt = 0;; ++attempt) {
    const auto value = std::bit_cast<double>(word(index * 16 + attempt));
    if (std::isfinite(value)) {
      return value;
    }
  }
}

double sum_of(const std::vector<double>& values) {
  ExactSum sum;
  for (const double value : values) {
    sum.add(value);
  }
  return sum.value();
}

TEST(ExactSum, OneNumberIsItself) {
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const double value = any_double(i);
    EXPECT_EQ(sum_of({value}), value);
  }
  for (const double value : {0.0, 1.0, -1.0, kMax, -kMax, kTiny, -kTiny, 0x1p-1022, 0x1p-1023}) {
    EXPECT_EQ(sum_of({value}), value);
  }
}

TEST(ExactSum, TwoNumbersRoundAsTheProcessorDoes) {
  for (std::uint64_t i = 0; i < 20000; ++i) {
    // Exponents near each other, so that both matter: halves and ties included.
    const double a =
        std::ldexp(static_cast<double>(word(2 * i) >> 11), static_cast<int>(i % 120) - 60);
    const double b = std::ldexp(static_cast<double>(word(2 * i + 1) >> (i % 64)),
                                static_cast<int>(i % 117) - 60) *
                     (i % 2 == 0 ? 1 : -1);
    EXPECT_EQ(sum_of({a, b}), a + b);
    const double c = any_double(2 * i);
    const double d = any_double(2 * i + 1);
    EXPECT_EQ(sum_of({c, d}), c + d);
  }
}

TEST(ExactSum, TiesGoToEven) {
  EXPECT_EQ(sum_of({1, 0x1p-53}), 1);
  EXPECT_EQ(sum_of({1, 0x1p-53, kTiny}), 1 + 0x1p-52);
  EXPECT_EQ(sum_of({1 + 0x1p-52, 0x1p-53}), 1 + 0x1p-51);
  EXPECT_EQ(sum_of({-1, -0x1p-53}), -1);
  EXPECT_EQ(sum_of({2 - 0x1p-52, 0x1p-53}), 2);  // the carry reaches the exponent
  EXPECT_EQ(sum_of({kMax, 0x1p970}), kInfinity);
  EXPECT_EQ(sum_of({kMax, 0x1p969}), kMax);
  EXPECT_EQ(sum_of({0x1p-1022, -kTiny}), 0x1p-1022 - kTiny);
}

TEST(ExactSum, NothingIsLostToCancellation) {
  EXPECT_EQ(sum_of({kMax, 1, kTiny, -kMax, -1}), kTiny);
  EXPECT_EQ(sum_of({kMax, kMax, kMax, -kMax, -kMax}), kMax);
  EXPECT_EQ(sum_of({kMax, kMax}), kInfinity);
  EXPECT_EQ(sum_of({-kMax, -kMax}), -kInfinity);
}

TEST(ExactSum, NoOrderAndNoSplitMatters) {
  std::vector<double> values;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    values.push_back(any_double(i) * 0x1p-20);
  }
  ExactSum whole;
  for (const double value : values) {
    whole.add(value);
  }
  for (std::uint64_t round = 0; round < 20; ++round) {
    for (std::size_t i = values.size() - 1; i > 0; --i) {
      std::swap(values[i], values[word(round * 4000 + i) % (i + 1)]);
    }
    std::vector<ExactSum> parts(1 + round);
    for (std::size_t i = 0; i < values.size(); ++i) {
      parts[i % parts.size()].add(values[i]);
    }
    ExactSum merged;
    ExactSum::Words words{};
    for (const ExactSum& part : parts) {
      merged.merge(part);
      const auto theirs = part.words();
      std::transform(words.begin(), words.end(), theirs.begin(), words.begin(), std::plus<>());
    }
    EXPECT_EQ(merged.words(), whole.words());
    EXPECT_EQ(ExactSum::from_words(words).words(), whole.words());
    EXPECT_EQ(ExactSum::from_words(words).value(), whole.value());
  }
}

TEST(ExactSum, NonFiniteAddendsShow) {
  EXPECT_EQ(sum_of({1, kInfinity, -kMax}), kInfinity);
  EXPECT_EQ(sum_of({1, -kInfinity}), -kInfinity);
  EXPECT_TRUE(std::isnan(sum_of({kInfinity, -kInfinity})));
  EXPECT_TRUE(std::isnan(sum_of({std::nan(""), 1})));
  ExactSum part;
  part.add(kInfinity);
  ExactSum sum;
  sum.merge(ExactSum::from_words(part.words()));
  EXPECT_EQ(sum.value(), kInfinity);
}

TEST(ExactSum, ManyMergesCarryInTime) {
  ExactSum sum;
  sum.add(kMax);
  for (int i = 0; i < 40; ++i) {  // 2^40 times the largest number, and back
    sum.merge(ExactSum(sum));
  }
  EXPECT_EQ(sum.value(), kInfinity);
  ExactSum minus;
  minus.add(-kMax);
  for (int i = 0; i < 40; ++i) {
    minus.merge(ExactSum(minus));
  }
  sum.merge(minus);
  sum.add(3);
  EXPECT_EQ(sum.value(), 3);
}

}  // namespace
}  // namespace finescale
