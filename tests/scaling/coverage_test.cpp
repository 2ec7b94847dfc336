// SPDX-License-Identifier: Apache-2.0
// A small simulation of how often intervals hold the truth. scaling_coverage is the large one.
#include "tests/scaling/coverage.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

namespace finescale::synthetic {
namespace {

// Within 3 points of nominal, and 2.6 standard errors of the simulation (1 in 100 by chance; the
// seeds are fixed, so the answer is too).
void expect_covers(const char* name, const Tally& tally) {
  ASSERT_GT(tally.tables, 20) << name;
  for (std::size_t l = 0; l < kLevels.size(); ++l) {
    const double level = kLevels[l];
    const double room = kAllowedMiss + 2.6 * standard_error(level, tally.tables);
    std::printf("%s: %.0f%% intervals hold the truth in %.1f%% of %d tables\n", name, 100 * level,
                100 * tally.coverage(l), tally.tables);
    EXPECT_NEAR(tally.coverage(l), level, room) << name;
  }
}

Coverage measure_all(Truth truth, int tables) {
  CoverageOptions options;
  options.replicates = 200;
  Coverage total;
  unsigned long long seed = 9001;
  for (const double sigma : {0.01, 0.04}) {
    for (const bool correlated : {false, true}) {
      for (int i = 0; i < tables; ++i) {
        total.add(measure_table({truth, sigma, correlated, 3}, options, seed++));
      }
    }
  }
  return total;
}

TEST(Coverage, OfLossAndDataToTarget) {
  for (const Truth truth : {Truth::kRectified, Truth::kPowerOffset}) {
    const Coverage total = measure_all(truth, 15);
    expect_covers("loss at twice the largest budget", total.loss);
    expect_covers("data to target", total.target);
  }
}

TEST(Coverage, OfTheCrossover) {
  const Coverage total = measure_all(Truth::kCrossing, 15);
  expect_covers("crossover", total.crossover);
  EXPECT_GT(total.crossovers, total.tables / 2);
}

TEST(Coverage, CrossoversThatAreNotThereAreRefused) {
  const Coverage total = measure_all(Truth::kNoCrossing, 10);
  std::printf("%d of %d tables without a crossover show one\n", total.crossovers, total.tables);
  EXPECT_LE(total.crossovers, 0.05 * total.tables);
}

}  // namespace
}  // namespace finescale::synthetic
