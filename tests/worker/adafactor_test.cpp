// SPDX-License-Identifier: Apache-2.0
// Adafactor worked out by hand.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "worker/optim/update_rule.h"

namespace finescale {
namespace {

TEST(Adafactor, AMatrixKeepsMeansOfRowsAndColumns) {
  config::Train train;
  train.mutable_optimizer()->mutable_adafactor();
  const auto rule = make_update_rule(train);
  const LogicalTensor tensor{"w", Shape{2, 3}, {}, true};
  const auto slots = rule->whole_slots(tensor);
  ASSERT_EQ(slots.size(), 2U);
  std::vector<double> g = {1, 2, 3, 4, 5, 6};
  std::vector<double> rows(2);
  std::vector<double> columns(3);
  const std::vector<TensorView> state = {{rows.data(), DType::kF64, Shape{2}},
                                         {columns.data(), DType::kF64, Shape{3}}};
  rule->make_direction(Stream(), {g.data(), DType::kF64, Shape{2, 3}}, state, {.step = 1});
  // The first step forgets what was there: means of 1, 4, 9 and of 16, 25, 36; of 1, 16; 4, 25; 9,
  // 36.
  EXPECT_NEAR(rows[0], 14 / 3.0, 1e-12);
  EXPECT_NEAR(rows[1], 77 / 3.0, 1e-12);
  EXPECT_NEAR(columns[2], 22.5, 1e-12);
  const double mean = (14 / 3.0 + 77 / 3.0) / 2;
  std::vector<double> wanted;
  double squares = 0;
  for (int i = 0; i < 6; ++i) {
    const double column = (std::pow(i % 3 + 1, 2) + std::pow(i % 3 + 4, 2)) / 2;
    wanted.push_back((i + 1) / std::sqrt((i < 3 ? 14 : 77) / 3.0 * column / mean));
    squares += wanted.back() * wanted.back();
  }
  const double size = std::max(1.0, std::sqrt(squares / 6));
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(g[i], wanted[i] / size, 1e-12);
  }
}

TEST(Adafactor, AVectorKeepsAllSquares) {
  config::Train train;
  train.mutable_optimizer()->mutable_adafactor();
  const auto rule = make_update_rule(train);
  std::vector<double> g = {0.5, -2};
  std::vector<double> v = {1, 1};
  const std::vector<TensorView> state = {{v.data(), DType::kF64, Shape{2}}};
  rule->make_direction(Stream(), {g.data(), DType::kF64, Shape{2}}, state, {.step = 2});
  const double keep = 1 - std::pow(2, -0.8);
  EXPECT_NEAR(v[0], keep + (1 - keep) * 0.25, 1e-12);
  EXPECT_NEAR(v[1], keep + (1 - keep) * 4, 1e-12);
  EXPECT_LT(g[1], 0);
}

}  // namespace
}  // namespace finescale
