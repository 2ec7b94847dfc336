// SPDX-License-Identifier: Apache-2.0
#include "kernels/layernorm.h"

#include "kernels/bias.h"
#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using LayerNorm = Kernel;

TEST_P(LayerNorm, ForwardIsTheFormulaWithAndWithoutResidual) {
  for (const auto& [rows, width] : {std::pair{1, 1}, {5, 7}, {33, 75}, {3, 130}}) {
    for (const bool has_residual : {false, true}) {
      Tensor x(dtype(), rows, width, 3);
      Tensor residual(dtype(), rows, width, 1);
      Tensor weight(dtype(), 0, width);
      Tensor bias(dtype(), 0, width);
      Tensor y(dtype(), rows, width, 2);
      Tensor statistics(dtype(), rows, 2);
      x.random(1);
      residual.random(2);
      weight.random(3);
      bias.random(4);
      const Tensor before = x;
      const auto sum = [&](auto t, auto c) {
        return before.at(t, c) + (has_residual ? residual.at(t, c) : 0);
      };
      layernorm_forward(stream_, x.view(), has_residual ? residual.view() : TensorView(),
                        weight.view(), bias.view(), 1e-5, y.view(), statistics.view());
      const int columns = width;
      const auto wanted = [&](std::int64_t t, std::int64_t c) {
        double mean = 0;
        double variance = 0;
        for (int i = 0; i < columns; ++i) {
          mean += sum(t, i) / columns;
        }
        for (int i = 0; i < columns; ++i) {
          variance += std::pow(sum(t, i) - mean, 2) / columns;
        }
        return (sum(t, c) - mean) / std::sqrt(variance + 1e-5) * weight.at(c) + bias.at(c);
      };
      EXPECT_LT(error_of(x, sum), tolerance(dtype()));
      EXPECT_LT(error_of(y, wanted), tolerance(dtype()));
      EXPECT_TRUE(x.gaps_untouched() && y.gaps_untouched());
    }
  }
}

TEST_P(LayerNorm, AConstantFarFromZeroLeavesNoDigitsButTheBias) {
  Tensor x(dtype(), 1, 40);
  Tensor weight(dtype(), 0, 40);
  Tensor bias(dtype(), 0, 40);
  Tensor y(dtype(), 1, 40);
  Tensor statistics(dtype(), 1, 2);
  for (int c = 0; c < 40; ++c) {
    x.set(0, c, 4096);  // a sum of squares minus a square of the mean would lose everything
    weight.set(0, c, 1);
    bias.set(0, c, c);
  }
  layernorm_forward(stream_, x.view(), {}, weight.view(), bias.view(), 1e-5, y.view(),
                    statistics.view());
  EXPECT_EQ(error_of(y, [&](auto, auto c) { return static_cast<double>(c); }), 0);
}

TEST_P(LayerNorm, BackwardIsTheGradientAndIsAdded) {
  for (const auto& [rows, width] : {std::pair{1, 2}, {4, 7}, {70, 19}}) {
    Tensor x(dtype(), rows, width, 2);
    Tensor weight(dtype(), 0, width);
    Tensor bias(dtype(), 0, width);
    Tensor y(dtype(), rows, width);
    Tensor statistics(dtype(), rows, 2);
    Tensor dy(dtype(), rows, width, 1);
    Tensor dx(dtype(), rows, width, 3);
    Tensor dweight(dtype(), 0, width);
    Tensor dbias(dtype(), 0, width);
    x.random(1);
    weight.random(2);
    bias.random(3);
    dy.random(4);
    const auto loss = [&] {
      layernorm_forward(stream_, x.view(), {}, weight.view(), bias.view(), 1e-5, y.view(),
                        statistics.view());
      return dot(dy, y);
    };
    loss();
    layernorm_backward(stream_, dy.view(), x.view(), weight.view(), statistics.view(), dx.view(),
                       dweight.view());
    bias_gradient(stream_, dy.view(), dbias.view());
    if (is_f64()) {
      EXPECT_LT(difference_error(x, dx, loss, 1e-5), 1e-6);
      EXPECT_LT(difference_error(weight, dweight, loss), 1e-6);
      EXPECT_LT(difference_error(bias, dbias, loss), 1e-6);
    }
    loss();
    const Tensor once = dx;
    layernorm_backward(stream_, dy.view(), x.view(), weight.view(), statistics.view(), dx.view(),
                       {});
    EXPECT_LT(error_of(dx, [&](auto t, auto c) { return 2 * once.at(t, c); }), tolerance(dtype()));
    EXPECT_TRUE(dx.gaps_untouched());
  }
}

TEST_P(LayerNorm, ThreadsChangeNoBit) {
  expect_threads_change_nothing([&] {
    Tensor x(dtype(), 700, 75, 2);
    Tensor weight(dtype(), 0, 75);
    Tensor bias(dtype(), 0, 75);
    Tensor y(dtype(), 700, 75);
    Tensor statistics(dtype(), 700, 2);
    Tensor dx(dtype(), 700, 75);
    Tensor dweight(dtype(), 0, 75);
    x.random(1);
    weight.random(2);
    layernorm_forward(stream_, x.view(), {}, weight.view(), bias.view(), 1e-5, y.view(),
                      statistics.view());
    layernorm_backward(stream_, y.view(), x.view(), weight.view(), statistics.view(), dx.view(),
                       dweight.view());
    return bytes_of({&y, &dx, &dweight});
  });
}

FINESCALE_FOR_ALL_TARGETS(LayerNorm);

}  // namespace
}  // namespace finescale
