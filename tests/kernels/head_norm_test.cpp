// SPDX-License-Identifier: Apache-2.0
#include "kernels/head_norm.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using HeadNorm = Kernel;

TEST_P(HeadNorm, NormalisesEachHeadByItself) {
  for (const auto& [heads, width] : {std::pair{1, 1}, {3, 7}, {4, 16}, {2, 75}}) {
    Tensor x(dtype(), 21, heads * width, 3);
    Tensor weight(dtype(), 0, width);
    Tensor y(dtype(), 21, heads * width, 2);
    Tensor rstd(dtype(), 21, heads);
    x.random(1);
    weight.random(2);
    head_norm_forward(stream_, x.view(), weight.view(), 1e-5, y.view(), rstd.view());
    const std::int64_t columns = width;
    EXPECT_LT(error_of(y,
                       [&](auto t, auto c) {
                         const auto first = c / columns * columns;
                         double squares = 0;
                         for (auto i = first; i < first + columns; ++i) {
                           squares += x.at(t, i) * x.at(t, i) / static_cast<double>(columns);
                         }
                         return x.at(t, c) / std::sqrt(squares + 1e-5) * weight.at(c - first);
                       }),
              tolerance(dtype()));
    EXPECT_TRUE(y.gaps_untouched());
  }
}

TEST_P(HeadNorm, BackwardIsTheGradientAlsoInPlace) {
  for (const auto& [heads, width] : {std::pair{1, 2}, {3, 7}, {2, 19}}) {
    Tensor x(dtype(), 5, heads * width, 2);
    Tensor weight(dtype(), 0, width);
    Tensor y(dtype(), 5, heads * width);
    Tensor rstd(dtype(), 5, heads);
    Tensor dy(dtype(), 5, heads * width, 1);
    Tensor dx(dtype(), 5, heads * width, 3);
    Tensor dweight(dtype(), 0, width);
    x.random(1);
    weight.random(2);
    dy.random(3);
    const auto loss = [&] {
      head_norm_forward(stream_, x.view(), weight.view(), 1e-5, y.view(), rstd.view());
      return dot(dy, y);
    };
    loss();
    head_norm_backward(stream_, dy.view(), x.view(), weight.view(), rstd.view(), dx.view(),
                       dweight.view());
    if (is_f64()) {
      EXPECT_LT(difference_error(x, dx, loss, 1e-5), 1e-6);
      EXPECT_LT(difference_error(weight, dweight, loss), 1e-6);
    }
    loss();
    Tensor in_place = dy;
    Tensor again(dtype(), 0, width);
    head_norm_backward(stream_, in_place.view(), x.view(), weight.view(), rstd.view(),
                       in_place.view(), again.view());
    EXPECT_EQ(error_of(in_place, [&](auto t, auto c) { return dx.at(t, c); }), 0);
    EXPECT_TRUE(again.bytes() == dweight.bytes());
    EXPECT_TRUE(dx.gaps_untouched());
  }
}

TEST_P(HeadNorm, ThreadsChangeNoBit) {
  expect_threads_change_nothing([&] {
    Tensor x(dtype(), 700, 3 * 24);
    Tensor weight(dtype(), 0, 24);
    Tensor y(dtype(), 700, 3 * 24);
    Tensor rstd(dtype(), 700, 3);
    Tensor dx(dtype(), 700, 3 * 24);
    Tensor dweight(dtype(), 0, 24);
    x.random(1);
    weight.random(2);
    head_norm_forward(stream_, x.view(), weight.view(), 1e-5, y.view(), rstd.view());
    head_norm_backward(stream_, y.view(), x.view(), weight.view(), rstd.view(), dx.view(),
                       dweight.view());
    return bytes_of({&y, &dx, &dweight});
  });
}

FINESCALE_FOR_ALL_TARGETS(HeadNorm);

}  // namespace
}  // namespace finescale
