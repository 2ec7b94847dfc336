// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/newton_schulz.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"

namespace finescale {
namespace {

// Two orthogonal columns of other lengths: the quintic is applied to each length alone.
TEST(NewtonSchulz, WorksOnEachSingularValueByItself) {
  std::vector<double> x = {3, 0, 0, 0.5, 0, 0};  // [3, 2]: singular values 3 and 0.5
  AlignedBuffer scratch;
  newton_schulz(Stream(), {x.data(), DType::kF64, Shape{3, 2}}, scratch);
  const double norm = std::sqrt(9.25);
  const auto iterated = [](double s) {
    for (int step = 0; step < 5; ++step) {
      s = 3.4445 * s - 4.7750 * std::pow(s, 3) + 2.0315 * std::pow(s, 5);
    }
    return s;
  };
  EXPECT_NEAR(x[0], iterated(3 / norm), 1e-12);
  EXPECT_NEAR(x[3], iterated(0.5 / norm), 1e-12);
  EXPECT_EQ(x[1], 0);
}

TEST(NewtonSchulz, RowsBecomeNearlyOrthonormalInEitherShape) {
  for (const auto& [rows, cols] : {std::pair{8, 40}, {40, 8}}) {
    std::vector<float> x(static_cast<std::size_t>(rows * cols));
    Random random(1, Purpose::kTest);
    for (float& value : x) {
      value = static_cast<float>(random.normal());
    }
    AlignedBuffer scratch;
    newton_schulz(Stream(), {x.data(), DType::kF32, Shape{rows, cols}}, scratch);
    double squares = 0;  // of eight singular values near one
    for (const float value : x) {
      squares += double{value} * double{value};
    }
    EXPECT_GT(squares, 8 * 0.6 * 0.6);
    EXPECT_LT(squares, 8 * 1.25 * 1.25);
  }
}

TEST(NewtonSchulz, ZerosStay) {
  std::vector<float> x(6);
  AlignedBuffer scratch;
  newton_schulz(Stream(), {x.data(), DType::kF32, Shape{2, 3}}, scratch);
  EXPECT_EQ(x, std::vector<float>(6));
}

}  // namespace
}  // namespace finescale
