// SPDX-License-Identifier: Apache-2.0
#include "kernels/gelu.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using GeluKernel = Kernel;

double formula(Gelu kind, double x) {
  return kind == Gelu::kTanh ? 0.5 * x *
                                   (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) *
                                                  (x + 0.044715 * x * x * x)))
                             : 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}

TEST_P(GeluKernel, ForwardIsTheFormulaPlainAndGated) {
  for (const Gelu kind : {Gelu::kTanh, Gelu::kErf}) {
    for (const auto& [rows, width] : {std::pair{1, 1}, {5, 7}, {33, 75}, {3, 130}}) {
      Tensor x(dtype(), rows, 2 * width, 3);
      Tensor y(dtype(), rows, width, 1);
      x.random(1, 3);  // into both tails
      const std::int64_t f = width;
      gelu_forward(stream_, kind, x.view().columns(0, f), y.view());
      EXPECT_LT(error_of(y, [&](auto t, auto c) { return formula(kind, x.at(t, c)); }),
                tolerance(dtype()));
      geglu_forward(stream_, kind, x.view(), y.view());
      EXPECT_LT(
          error_of(y, [&](auto t, auto c) { return formula(kind, x.at(t, c)) * x.at(t, c + f); }),
          tolerance(dtype()));
      EXPECT_TRUE(y.gaps_untouched());
    }
  }
}

// Absolute, not against the largest value: small inputs keep their digits.
TEST_P(GeluKernel, IsAccurateEverywhere) {
  constexpr int kCount = 2001;
  Tensor x(dtype(), 1, kCount);
  Tensor y(dtype(), 1, kCount);
  for (int i = 0; i < kCount; ++i) {
    x.set(0, i, -10 + 0.01 * i);
  }
  for (const Gelu kind : {Gelu::kTanh, Gelu::kErf}) {
    gelu_forward(stream_, kind, x.view(), y.view());
    for (int i = 0; i < kCount; ++i) {
      const double wanted = formula(kind, x.at(i));
      const double allowed = is_f64() ? 1e-14 : 1e-6;
      ASSERT_NEAR(y.at(i), wanted, allowed * std::max(1.0, std::abs(wanted))) << x.at(i);
    }
  }
}

TEST_P(GeluKernel, BackwardIsTheGradientAlsoInPlace) {
  for (const Gelu kind : {Gelu::kTanh, Gelu::kErf}) {
    for (const bool gated : {false, true}) {
      const std::int64_t width = 19;
      const std::int64_t inputs = gated ? 2 * width : width;
      Tensor x(dtype(), 3, inputs, 2);
      Tensor dy(dtype(), 3, width, 1);
      Tensor y(dtype(), 3, width);
      Tensor dx(dtype(), 3, inputs, 3);
      x.random(1, 2);
      dy.random(2);
      const auto forward = [&] {
        gated ? geglu_forward(stream_, kind, x.view(), y.view())
              : gelu_forward(stream_, kind, x.view(), y.view());
      };
      const auto backward = [&](Tensor& input, Tensor& to) {
        gated ? geglu_backward(stream_, kind, dy.view(), input.view(), to.view())
              : gelu_backward(stream_, kind, dy.view(), input.view(), to.view());
      };
      backward(x, dx);
      Tensor in_place = x;
      backward(in_place, in_place);
      EXPECT_EQ(error_of(in_place, [&](auto t, auto c) { return dx.at(t, c); }), 0);
      EXPECT_TRUE(dx.gaps_untouched());
      if (is_f64()) {
        const auto loss = [&] {
          forward();
          return dot(dy, y);
        };
        EXPECT_LT(difference_error(x, dx, loss), 1e-6);
      }
    }
  }
}

TEST_P(GeluKernel, LargeInputsStayFinite) {
  Tensor x(dtype(), 1, 2);
  Tensor y(dtype(), 1, 2);
  Tensor dx(dtype(), 1, 2);
  x.set(0, 0, 1e4);
  x.set(0, 1, -1e4);
  for (const Gelu kind : {Gelu::kTanh, Gelu::kErf}) {
    gelu_forward(stream_, kind, x.view(), y.view());
    EXPECT_EQ(y.at(0), 1e4);
    EXPECT_LT(std::abs(y.at(1)), 1e-3);  // f32: 1e4 times the last bit of erf
    gelu_backward(stream_, kind, y.view(), x.view(), dx.view());
    EXPECT_EQ(dx.at(0), 1e4);
    EXPECT_TRUE(std::isfinite(dx.at(1)));
  }
}

FINESCALE_FOR_ALL_TARGETS(GeluKernel);

}  // namespace
}  // namespace finescale
