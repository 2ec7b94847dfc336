// SPDX-License-Identifier: Apache-2.0
// The CUDA sources, executed on the emulator, against their CPU twins: tails, strides, f32 and f64,
// three orders of threads.
#include <tuple>

#include "kernels/cuda/adamw.h"
#include "kernels/cuda/bias.h"
#include "kernels/cuda/cross_entropy.h"
#include "kernels/cuda/gelu.h"
#include "kernels/cuda/head_norm.h"
#include "kernels/cuda/layernorm.h"
#include "kernels/cuda/rmsnorm.h"
#include "tests/cuda_emulation/include/cuda_runtime.h"
#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using cuda::emulation::Order;

class Twins : public testing::TestWithParam<std::tuple<Order, DType>> {
 protected:
  void SetUp() override { cuda::emulation::set_order(std::get<0>(GetParam()), 11); }
  void TearDown() override { cuda::emulation::set_order(Order::kForward); }
  [[nodiscard]] static DType dtype() { return std::get<1>(GetParam()); }
  // Another order of summation, other last bits of exp: a few ulps of the largest value.
  [[nodiscard]] static double few_ulps() { return dtype() == DType::kF64 ? 1e-14 : 4e-6; }
  static void expect_near(const Tensor& got, const Tensor& wanted) {
    EXPECT_LT(error_of(got, [&](auto r, auto c) { return wanted.at(r, c); }), few_ulps());
    EXPECT_TRUE(got.gaps_untouched());
  }
  const Stream cpu_;
  const Stream gpu_{DeviceType::kCuda};
};

TEST_P(Twins, RmsNorm) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 75}, {70, 33}, {2, 1000}}) {
    for (const bool has_residual : {false, true}) {
      Tensor x(dtype(), rows, cols, 3);
      Tensor residual(dtype(), rows, cols, 1);
      Tensor weight(dtype(), 0, cols);
      Tensor dy(dtype(), rows, cols, 2);
      Tensor y(dtype(), rows, cols, 2);
      Tensor rstd(dtype(), 0, rows);
      Tensor dx(dtype(), rows, cols, 1);
      Tensor dweight(dtype(), 0, cols);
      x.random(1);
      residual.random(2);
      weight.random(3);
      dy.random(4);
      dx.random(5);
      dweight.random(6);
      Tensor x2 = x;
      Tensor y2 = y;
      Tensor rstd2 = rstd;
      Tensor dx2 = dx;
      Tensor dweight2 = dweight;
      rmsnorm_forward(cpu_, x.view(), has_residual ? residual.view() : TensorView(), weight.view(),
                      1e-5, y.view(), rstd.view());
      rmsnorm_backward(cpu_, dy.view(), x.view(), weight.view(), rstd.view(), dx.view(),
                       dweight.view());
      cuda::rmsnorm_forward(gpu_, x2.view(), has_residual ? residual.view() : TensorView(),
                            weight.view(), 1e-5, y2.view(), rstd2.view());
      cuda::rmsnorm_backward(gpu_, dy.view(), x2.view(), weight.view(), rstd2.view(), dx2.view(),
                             dweight2.view());
      expect_near(x2, x);
      expect_near(y2, y);
      expect_near(rstd2, rstd);
      expect_near(dx2, dx);
      expect_near(dweight2, dweight);
    }
  }
}

TEST_P(Twins, LayerNorm) {
  for (const auto& [rows, cols] : {std::pair{1, 2}, {3, 75}, {70, 33}, {2, 1000}}) {
    for (const bool has_residual : {false, true}) {
      Tensor x(dtype(), rows, cols, 3);
      Tensor residual(dtype(), rows, cols, 1);
      Tensor weight(dtype(), 0, cols);
      Tensor bias(dtype(), 0, cols);
      Tensor dy(dtype(), rows, cols, 2);
      Tensor y(dtype(), rows, cols, 2);
      Tensor statistics(dtype(), rows, 2);
      Tensor dx(dtype(), rows, cols, 1);
      Tensor dweight(dtype(), 0, cols);
      x.random(1);
      residual.random(2);
      weight.random(3);
      bias.random(4);
      dy.random(5);
      dx.random(6);
      dweight.random(7);
      Tensor x2 = x;
      Tensor y2 = y;
      Tensor statistics2 = statistics;
      Tensor dx2 = dx;
      Tensor dweight2 = dweight;
      const TensorView added = has_residual ? residual.view() : TensorView();
      layernorm_forward(cpu_, x.view(), added, weight.view(), bias.view(), 1e-2, y.view(),
                        statistics.view());
      layernorm_backward(cpu_, dy.view(), x.view(), weight.view(), statistics.view(), dx.view(),
                         dweight.view());
      cuda::layernorm_forward(gpu_, x2.view(), added, weight.view(), bias.view(), 1e-2, y2.view(),
                              statistics2.view());
      cuda::layernorm_backward(gpu_, dy.view(), x2.view(), weight.view(), statistics2.view(),
                               dx2.view(), dweight2.view());
      expect_near(x2, x);
      expect_near(y2, y);
      expect_near(statistics2, statistics);
      expect_near(dx2, dx);
      expect_near(dweight2, dweight);
    }
  }
}

TEST_P(Twins, HeadNorm) {
  for (const auto& [rows, heads, width] :
       {std::tuple{1, 1, 2}, {3, 2, 40}, {70, 3, 16}, {2, 1, 100}}) {
    Tensor x(dtype(), rows, heads * width, 3);
    Tensor weight(dtype(), 0, width);
    Tensor dy(dtype(), rows, heads * width, 2);
    Tensor y(dtype(), rows, heads * width, 2);
    Tensor rstd(dtype(), rows, heads);
    Tensor dweight(dtype(), 0, width);
    x.random(1);
    weight.random(2);
    dy.random(3);
    dweight.random(4);
    Tensor y2 = y;
    Tensor rstd2 = rstd;
    Tensor dy2 = dy;
    Tensor dweight2 = dweight;
    head_norm_forward(cpu_, x.view(), weight.view(), 1e-2, y.view(), rstd.view());
    cuda::head_norm_forward(gpu_, x.view(), weight.view(), 1e-2, y2.view(), rstd2.view());
    head_norm_backward(cpu_, dy.view(), x.view(), weight.view(), rstd.view(), dy.view(),
                       dweight.view());
    cuda::head_norm_backward(gpu_, dy2.view(), x.view(), weight.view(), rstd2.view(), dy2.view(),
                             dweight2.view());
    expect_near(y2, y);
    expect_near(rstd2, rstd);
    expect_near(dy2, dy);
    expect_near(dweight2, dweight);
  }
}

TEST_P(Twins, GeluPlainAndGated) {
  for (const Gelu kind : {Gelu::kTanh, Gelu::kErf}) {
    for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 75}, {2, 300}}) {
      Tensor x(dtype(), rows, 2 * cols, 3);
      Tensor dy(dtype(), rows, cols, 1);
      Tensor y(dtype(), rows, cols, 2);
      x.random(1, 2);
      dy.random(2);
      Tensor x2 = x;
      Tensor y2 = y;
      geglu_forward(cpu_, kind, x.view(), y.view());
      cuda::geglu_forward(gpu_, kind, x.view(), y2.view());
      expect_near(y2, y);
      geglu_backward(cpu_, kind, dy.view(), x.view(), x.view());
      cuda::geglu_backward(gpu_, kind, dy.view(), x2.view(), x2.view());
      expect_near(x2, x);
      gelu_forward(cpu_, kind, dy.view(), y.view());
      cuda::gelu_forward(gpu_, kind, dy.view(), y2.view());
      expect_near(y2, y);
      Tensor in_place = dy;
      gelu_backward(cpu_, kind, y.view(), dy.view(), y.view());
      cuda::gelu_backward(gpu_, kind, y2.view(), in_place.view(), in_place.view());
      expect_near(in_place, y);
    }
  }
}

TEST_P(Twins, BiasAndAffine) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 75}, {200, 33}}) {
    Tensor bias(dtype(), 0, cols);
    Tensor dbias(dtype(), 0, cols);
    Tensor y(dtype(), rows, cols, 3);
    bias.random(1);
    dbias.random(2);
    y.random(3);
    Tensor y2 = y;
    Tensor dbias2 = dbias;
    bias_add(cpu_, bias.view(), y.view());
    cuda::bias_add(gpu_, bias.view(), y2.view());
    EXPECT_TRUE(y2.bytes() == y.bytes());
    bias_gradient(cpu_, y.view(), dbias.view());
    cuda::bias_gradient(gpu_, y2.view(), dbias2.view());
    expect_near(dbias2, dbias);
    affine_in_place(cpu_, 1.7, -0.3, y.view());
    cuda::affine_in_place(gpu_, 1.7, -0.3, y2.view());
    expect_near(y2, y);
  }
}

TEST_P(Twins, AdamwHasTheSameBits) {
  for (const std::int64_t count : {1, 75, 256, 1000}) {
    Tensor w(dtype(), 0, count);
    Tensor g(dtype(), 0, count);
    Tensor m(dtype(), 0, count);
    Tensor v(dtype(), 0, count);
    w.random(1);
    g.random(2, 0.1);
    Tensor w2 = w;
    Tensor m2 = m;
    Tensor v2 = v;
    for (int step = 1; step <= 3; ++step) {
      const AdamwStep settings{
          .learning_rate = 0.01, .weight_decay = 0.1, .step = step, .gradient_scale = 0.7};
      adamw_update(cpu_, settings, w.view(), g.view(), m.view(), v.view());
      cuda::adamw_update(gpu_, settings, w2.view(), g.view(), m2.view(), v2.view());
    }
    EXPECT_TRUE(w2.bytes() == w.bytes());
    EXPECT_TRUE(m2.bytes() == m.bytes());
    EXPECT_TRUE(v2.bytes() == v.bytes());
  }
}

TEST_P(Twins, CrossEntropy) {
  for (const auto& [rows, vocab] : {std::pair{1, 2}, {5, 75}, {3, 1000}}) {
    for (const bool weighted : {false, true}) {
      for (const bool wants : {false, true}) {
        Tensor logits(dtype(), rows, vocab, 3);
        Tensor weights(dtype(), 0, rows);
        Tensor losses(dtype(), 0, rows);
        logits.random(1, 4);
        weights.random(2);
        std::vector<std::int32_t> labels;
        for (int r = 0; r < rows; ++r) {
          labels.push_back((37 * r + 1) % vocab);
        }
        const TensorView label(labels.data(), DType::kI32, Shape{rows});
        const TensorView weight = weighted ? weights.view() : TensorView();
        Tensor logits2 = logits;
        Tensor losses2 = losses;
        cross_entropy_in_place(cpu_, logits.view(), label, weight, 0.3, losses.view(), wants);
        cuda::cross_entropy_in_place(gpu_, logits2.view(), label, weight, 0.3, losses2.view(),
                                     wants);
        expect_near(losses2, losses);
        if (wants) {
          expect_near(logits2, logits);
        }
      }
    }
  }
}

std::string twin_name(const testing::TestParamInfo<std::tuple<Order, DType>>& info) {
  constexpr const char* kOrders[] = {"forward", "reverse", "random"};
  return std::string(kOrders[static_cast<int>(std::get<0>(info.param))]) + "_" +
         dtype_name(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Orders, Twins,
                         testing::Combine(testing::Values(Order::kForward, Order::kReverse,
                                                          Order::kRandom),
                                          testing::Values(DType::kF32, DType::kF64)),
                         twin_name);

}  // namespace
}  // namespace finescale
