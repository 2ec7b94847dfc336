// SPDX-License-Identifier: Apache-2.0
#include "kernels/rmsnorm.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

constexpr double kEps = 1e-5;

using RmsNorm = Kernel;

double scale_of(const Tensor& x, std::int64_t t) {
  double squares = 0;
  for (std::int64_t c = 0; c < x.cols(); ++c) {
    squares += x.at(t, c) * x.at(t, c);
  }
  return 1 / std::sqrt(squares / static_cast<double>(x.cols()) + kEps);
}

TEST_P(RmsNorm, ForwardIsTheFormula) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 7}, {70, 64}, {5, 75}, {130, 129}}) {
    for (const bool has_residual : {false, true}) {
      Tensor x(dtype(), rows, cols, 3);
      Tensor residual(dtype(), rows, cols, 1);
      Tensor weight(dtype(), 0, cols);
      Tensor y(dtype(), rows, cols, 2);
      Tensor rstd(dtype(), 0, rows);
      x.random(1);
      residual.random(2);
      weight.random(3);
      Tensor sum = x;
      for (std::int64_t t = 0; has_residual && t < rows; ++t) {
        for (std::int64_t c = 0; c < cols; ++c) {
          sum.set(t, c, x.at(t, c) + residual.at(t, c));
        }
      }
      rmsnorm_forward(stream_, x.view(), has_residual ? residual.view() : TensorView(),
                      weight.view(), kEps, y.view(), rstd.view());
      EXPECT_LT(error_of(x, [&](auto t, auto c) { return sum.at(t, c); }), tolerance(dtype()));
      EXPECT_LT(error_of(y, [&](auto t,
                                auto c) { return sum.at(t, c) * scale_of(sum, t) * weight.at(c); }),
                tolerance(dtype()));
      EXPECT_LT(error_of(rstd, [&](auto, auto t) { return scale_of(sum, t); }), tolerance(dtype()));
      EXPECT_TRUE(x.gaps_untouched() && y.gaps_untouched());
    }
  }
}

TEST_P(RmsNorm, BackwardIsTheGradientAndIsAdded) {
  if (!is_f64()) {
    GTEST_SKIP() << "differences need double precision";
  }
  for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 7}, {67, 5}, {2, 33}}) {
    Tensor x(dtype(), rows, cols, 2);
    Tensor weight(dtype(), 0, cols);
    Tensor dy(dtype(), rows, cols, 1);
    Tensor y(dtype(), rows, cols);
    Tensor rstd(dtype(), 0, rows);
    x.random(1);
    weight.random(2);
    dy.random(3);
    const auto loss = [&] {
      rmsnorm_forward(stream_, x.view(), {}, weight.view(), kEps, y.view(), rstd.view());
      return dot(dy, y);
    };
    (void)loss();
    Tensor dx(dtype(), rows, cols, 4);
    Tensor dweight(dtype(), 0, cols);
    for (int times = 1; times <= 2; ++times) {
      rmsnorm_backward(stream_, dy.view(), x.view(), weight.view(), rstd.view(), dx.view(),
                       dweight.view());
    }
    Tensor half = dx;
    Tensor half_weight = dweight;
    for (std::int64_t c = 0; c < cols; ++c) {
      half_weight.set(0, c, dweight.at(c) / 2);
      for (std::int64_t t = 0; t < rows; ++t) {
        half.set(t, c, dx.at(t, c) / 2);
      }
    }
    // A row of one element hardly depends on its size: its gradient is eps-small.
    EXPECT_LT(difference_error(x, half, loss, 1e-5), cols == 1 ? 1e-4 : 1e-6);
    EXPECT_LT(difference_error(weight, half_weight, loss), 1e-6);
    EXPECT_TRUE(dx.gaps_untouched());
  }
}

TEST_P(RmsNorm, ThreadsChangeNoBit) {
  const std::int64_t rows = 300;
  const std::int64_t cols = 145;
  Tensor x(dtype(), rows, cols);
  Tensor weight(dtype(), 0, cols);
  Tensor dy(dtype(), rows, cols);
  weight.random(2);
  dy.random(3);
  expect_threads_change_nothing([&] {
    Tensor y(dtype(), rows, cols);
    Tensor rstd(dtype(), 0, rows);
    Tensor dx(dtype(), rows, cols);
    Tensor dweight(dtype(), 0, cols);
    rmsnorm_forward(stream_, x.random(1).view(), {}, weight.view(), kEps, y.view(), rstd.view());
    rmsnorm_backward(stream_, dy.view(), x.view(), weight.view(), rstd.view(), dx.view(),
                     dweight.view());
    return bytes_of({&y, &dx, &dweight});
  });
}

FINESCALE_FOR_ALL_TARGETS(RmsNorm);

}  // namespace
}  // namespace finescale
