// SPDX-License-Identifier: Apache-2.0
#include "core/random.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace finescale {
namespace {

TEST(Random, SameKeySameNumbers) {
  EXPECT_EQ(philox(7, Purpose::kOrder, 1, 2), philox(7, Purpose::kOrder, 1, 2));
  EXPECT_NE(philox(7, Purpose::kOrder, 1, 2), philox(7, Purpose::kSubset, 1, 2));
  EXPECT_NE(philox(7, Purpose::kOrder, 1, 2), philox(8, Purpose::kOrder, 1, 2));
}

TEST(Random, NormalHasUnitVariance) {
  Random random(3, Purpose::kTest);
  double sum = 0;
  double squares = 0;
  constexpr int kCount = 200000;
  for (int i = 0; i < kCount; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2.0 / kCount));
}

TEST(Permutation, VisitsEveryElementOnce) {
  for (const std::uint64_t n : {1U, 2U, 3U, 17U, 64U, 1000U, 4097U}) {
    const Permutation permutation(n, 5, Purpose::kSubset);
    std::vector<bool> seen(n, false);
    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint64_t value = permutation[i];
      ASSERT_LT(value, n);
      ASSERT_FALSE(seen[value]);
      seen[value] = true;
    }
  }
}

TEST(Permutation, SeedsDiffer) {
  const Permutation a(1000, 1, Purpose::kSubset);
  const Permutation b(1000, 2, Purpose::kSubset);
  int equal = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    equal += static_cast<int>(a[i] == b[i]);
  }
  EXPECT_LT(equal, 20);
}

}  // namespace
}  // namespace finescale
