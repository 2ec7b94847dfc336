// SPDX-License-Identifier: Apache-2.0
#include "kernels/factors.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using Factors = Kernel;

TEST_P(Factors, ColumnsAreMultipliedAndTheGradientIsTheSumOfProducts) {
  for (const auto& [rows, width] : {std::pair{1, 1}, {5, 7}, {200, 75}, {3, 1030}}) {
    for (const bool has_constant : {false, true}) {
      Tensor x(dtype(), rows, width, 3);
      Tensor dy(dtype(), rows, width, 2);
      Tensor factor(dtype(), 0, width);
      Tensor constant(dtype(), 0, width);
      Tensor y(dtype(), rows, width, 5);
      Tensor dfactor(dtype(), 0, width);
      x.random(1);
      dy.random(2);
      factor.random(3);
      constant.random(4);
      dfactor.random(5);
      const Tensor begun = dfactor;
      const TensorView by = has_constant ? constant.view() : TensorView();
      const auto of = [&](auto c) { return has_constant ? constant.at(c) : 1.0; };
      scale_columns(stream_, x.view(), factor.view(), by, y.view());
      EXPECT_LT(error_of(y, [&](auto t, auto c) { return x.at(t, c) * factor.at(c) * of(c); }),
                tolerance(dtype()));
      scale_columns_gradient(stream_, dy.view(), x.view(), by, dfactor.view());
      EXPECT_LT(error_of(dfactor,
                         [&](auto, auto c) {
                           double sum = 0;
                           for (std::int64_t t = 0; t < x.rows(); ++t) {
                             sum += dy.at(t, c) * x.at(t, c);
                           }
                           return begun.at(c) + of(c) * sum;
                         }),
                tolerance(dtype()));
      EXPECT_TRUE(y.gaps_untouched());
      const Tensor before = x;
      scale_columns(stream_, x.view(), factor.view(), by, x.view());  // in place
      EXPECT_LT(error_of(x, [&](auto t, auto c) { return before.at(t, c) * factor.at(c) * of(c); }),
                tolerance(dtype()));
    }
  }
}

TEST_P(Factors, ScaledColumnsAreAdded) {
  for (const auto& [rows, width] : {std::pair{1, 1}, {5, 7}, {64, 75}, {3, 1030}}) {
    Tensor x(dtype(), rows, width, 3);
    Tensor factor(dtype(), 0, width);
    Tensor y(dtype(), rows, width, 5);
    x.random(1);
    factor.random(2);
    y.random(3);
    const Tensor begun = y;
    add_scaled_columns(stream_, x.view(), factor.view(), y.view());
    EXPECT_LT(
        error_of(y, [&](auto t, auto c) { return begun.at(t, c) + x.at(t, c) * factor.at(c); }),
        tolerance(dtype()));
    EXPECT_TRUE(y.gaps_untouched());
  }
}

// A range of a matrix that begins and ends within rows.
TEST_P(Factors, StepsAreMultipliedByRow) {
  for (const std::int64_t columns : {1, 3, 8, 33}) {
    const std::int64_t first = columns / 2;
    const std::int64_t count = 9 * columns + 1;
    Tensor before(dtype(), 0, count);
    Tensor after(dtype(), 0, count);
    Tensor factors(DType::kF64, 0, 12);
    before.random(1);
    after.random(2);
    factors.random(3);
    const Tensor moved = after;
    scale_row_steps(stream_, before.view(), after.view(), factors.view(), first, columns);
    EXPECT_LT(error_of(after,
                       [&](auto, auto i) {
                         return before.at(i) +
                                factors.at((first + i) / columns) * (moved.at(i) - before.at(i));
                       }),
              tolerance(dtype()));
  }
}

TEST_P(Factors, ThreadsChangeNoBit) {
  expect_threads_change_nothing([&] {
    Tensor x(dtype(), 900, 75, 1);
    Tensor factor(dtype(), 0, 75);
    Tensor rows(DType::kF64, 0, 900);
    x.random(1);
    scale_columns_gradient(stream_, x.view(), x.view(), TensorView(), factor.view());
    scale_columns(stream_, x.view(), factor.view(), factor.view(), x.view());
    add_scaled_columns(stream_, x.view(), factor.view(), x.view());
    Tensor flat(dtype(), 0, 60000);
    Tensor start(dtype(), 0, 60000);
    scale_row_steps(stream_, start.random(3).view(), flat.random(2).view(), rows.random(4).view(),
                    5, 70);
    return bytes_of({&x, &factor, &flat});
  });
}

FINESCALE_FOR_ALL_TARGETS(Factors);

}  // namespace
}  // namespace finescale
