// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/average.h"

#include <gtest/gtest.h>

namespace finescale {
namespace {

// The mean of 1, 2, ..., steps.
double mean_of(const config::Average& average, std::int64_t steps) {
  double mean = 1e9;
  for (std::int64_t step = 1; step <= steps; ++step) {
    const double part = part_in_average(average, step, steps);
    mean += part * (static_cast<double>(step) - mean);
  }
  return mean;
}

TEST(Average, EmaWeighsLaterUpdatesMore) {
  config::Average average;
  average.mutable_ema()->set_decay(0.5);
  EXPECT_DOUBLE_EQ(mean_of(average, 1), 1);
  EXPECT_DOUBLE_EQ(mean_of(average, 3), 0.25 * 1 + 0.25 * 2 + 0.5 * 3);
}

TEST(Average, TheTailIsAPlainMeanThatEndsWithTheLastUpdate) {
  config::Average average;
  average.mutable_tail()->set_part(0.5);
  EXPECT_DOUBLE_EQ(mean_of(average, 10), (6 + 7 + 8 + 9 + 10) / 5.0);
  average.mutable_tail()->set_every(2);
  EXPECT_DOUBLE_EQ(mean_of(average, 10), (6 + 8 + 10) / 3.0);
  average.mutable_tail()->set_every(3);
  EXPECT_DOUBLE_EQ(mean_of(average, 10), (7 + 10) / 2.0);
  average.mutable_tail()->set_part(1e-3);
  EXPECT_DOUBLE_EQ(mean_of(average, 10), 10);
}

}  // namespace
}  // namespace finescale
