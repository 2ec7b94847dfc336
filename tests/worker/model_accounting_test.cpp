// SPDX-License-Identifier: Apache-2.0
#include "worker/accounting.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace finescale {
namespace {

// Pairs of a layer counted one by one; the count leaves out half of the diagonal, as s^2 does.
double counted(std::int64_t length, std::int64_t window) {
  double twice = 0;
  for (std::int64_t i = 0; i < length; ++i) {
    twice += 2 * static_cast<double>(window == 0 ? i + 1 : std::min(i + 1, window));
  }
  return twice - static_cast<double>(window == 0 ? length : std::min(length, window));
}

TEST(Accounting, AWindowCountsItsPairsAlone) {
  DecoderShape shape;
  shape.num_layers = 3;
  shape.sliding_window = 4;
  shape.first_window_layer = 1;
  for (const std::int64_t length : {1, 3, 4, 5, 100}) {
    EXPECT_DOUBLE_EQ(attended(shape, length), (counted(length, 0) + 2 * counted(length, 4)) / 3)
        << length;
  }
  shape.sliding_window = 0;
  EXPECT_DOUBLE_EQ(attended(shape, 100), 1e4);
}

}  // namespace
}  // namespace finescale
