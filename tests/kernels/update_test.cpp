// SPDX-License-Identifier: Apache-2.0
// AdamW, sums and norms.
#include "kernels/adamw.h"
#include "kernels/reduce.h"
#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using Adamw = Kernel;

TEST_P(Adamw, ThreeStepsAreTheFormula) {
  for (const std::int64_t count : {1, 7, 75, 1000, 20011}) {
    Tensor w(dtype(), 0, count);
    Tensor m(dtype(), 0, count);
    Tensor v(dtype(), 0, count);
    w.random(1);
    std::vector<double> want_w;
    std::vector<double> want_m(static_cast<std::size_t>(count), 0);
    std::vector<double> want_v = want_m;
    for (std::int64_t i = 0; i < count; ++i) {
      want_w.push_back(w.at(i));
    }
    for (int step = 1; step <= 3; ++step) {
      Tensor g(dtype(), 0, count);
      g.random(static_cast<std::uint64_t>(10 + step), 0.1);
      const AdamwStep settings{.learning_rate = 0.01,
                               .beta1 = 0.9,
                               .beta2 = 0.95,
                               .eps = 1e-8,
                               .weight_decay = 0.1,
                               .step = step,
                               .gradient_scale = 0.5};
      adamw_update(stream_, settings, w.view(), g.view(), m.view(), v.view());
      for (std::int64_t i = 0; i < count; ++i) {
        const auto k = static_cast<std::size_t>(i);
        const double gradient = 0.5 * g.at(i);
        want_m[k] = 0.9 * want_m[k] + 0.1 * gradient;
        want_v[k] = 0.95 * want_v[k] + 0.05 * gradient * gradient;
        const double m_hat = want_m[k] / (1 - std::pow(0.9, step));
        const double v_hat = want_v[k] / (1 - std::pow(0.95, step));
        want_w[k] -= 0.01 * 0.1 * want_w[k] + 0.01 * m_hat / (std::sqrt(v_hat) + 1e-8);
      }
    }
    const auto wanted = [](const std::vector<double>& values) {
      return [&values](auto, auto c) { return values[static_cast<std::size_t>(c)]; };
    };
    EXPECT_LT(error_of(w, wanted(want_w)), tolerance(dtype()));
    EXPECT_LT(error_of(m, wanted(want_m)), tolerance(dtype()));
    EXPECT_LT(error_of(v, wanted(want_v)), tolerance(dtype()));
  }
}

TEST_P(Adamw, ThreadsChangeNoBit) {
  expect_threads_change_nothing([&] {
    Tensor w(dtype(), 0, 100003);
    Tensor g(dtype(), 0, 100003);
    Tensor m(dtype(), 0, 100003);
    Tensor v(dtype(), 0, 100003);
    adamw_update(stream_, {.learning_rate = 0.1}, w.random(1).view(), g.random(2).view(), m.view(),
                 v.view());
    return w.bytes();
  });
}

FINESCALE_FOR_ALL_TARGETS(Adamw);

using Reduce = Kernel;

TEST_P(Reduce, SumsAndNorms) {
  for (const std::int64_t count : {1, 7, 129, 70001}) {
    Tensor x(dtype(), 0, count);
    x.random(1);
    double squares = 0;
    double total = 0;
    double magnitude = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      squares += x.at(i) * x.at(i);
      total += x.at(i);
      magnitude += std::abs(x.at(i));
    }
    EXPECT_NEAR(squared_norm(stream_, x.view()), squares, 1e-7 * squares);
    EXPECT_NEAR(sum(stream_, x.view()), total, 1e-12 * magnitude);
  }
}

TEST_P(Reduce, NormSeesWhatIsNotFinite) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (const std::int64_t place : {0, 77, 4999}) {
      Tensor x(dtype(), 0, 5000);
      x.random(1).set(0, place, bad);
      EXPECT_FALSE(std::isfinite(squared_norm(stream_, x.view())));
      ExactSum total;
      squared_norm_blocks(stream_, x.view(), total);
      EXPECT_FALSE(std::isfinite(total.value()));
    }
  }
}

TEST_P(Reduce, NormOfBlocksDoesNotDependOnCuts) {
  for (const std::int64_t count : {1, 255, 257, 5000, 70001}) {
    Tensor x(dtype(), 0, count);
    x.random(1);
    ExactSum whole;
    squared_norm_blocks(stream_, x.view(), whole);
    EXPECT_NEAR(whole.value(), squared_norm(stream_, x.view()), 1e-13 * whole.value());
    for (const std::int64_t step : {1, 3, 100}) {
      ExactSum cut;
      for (std::int64_t end = count; end > 0;) {  // from the back
        const std::int64_t begin = (end - 1) / (step * kNormBlock) * step * kNormBlock;
        TensorView part = x.view();
        part.data = static_cast<std::byte*>(part.data) +
                    static_cast<std::size_t>(begin) * dtype_size(part.dtype);
        part.shape = Shape{end - begin};
        squared_norm_blocks(stream_, part, cut);
        end = begin;
      }
      EXPECT_EQ(cut.words(), whole.words());
    }
  }
}

TEST_P(Reduce, AddCopyFillAxpy) {
  Tensor x(dtype(), 0, 1003);
  Tensor y(dtype(), 0, 1003);
  x.random(1);
  y.random(2);
  const Tensor before = y;
  add_in_place(stream_, x.view(), y.view());
  EXPECT_LT(error_of(y, [&](auto, auto c) { return x.at(c) + before.at(c); }), 1e-6);
  axpy(stream_, -1, x.view(), y.view());
  EXPECT_LT(error_of(y, [&](auto, auto c) { return before.at(c); }), 1e-6);
  copy(stream_, x.view(), y.view());
  EXPECT_TRUE(y.bytes() == x.bytes());
  fill_zero(stream_, y.view());
  EXPECT_EQ(error_of(y, [](auto, auto) { return 0; }), 0);
}

TEST_P(Reduce, LowestIndexOfTheLargest) {
  Tensor logits(dtype(), 3, 75);
  logits.set(0, 74, 1);
  logits.set(1, 20, 2);
  logits.set(1, 60, 2);
  std::vector<std::int32_t> best(3, -1);
  argmax_rows(stream_, logits.view(), TensorView(best.data(), DType::kI32, Shape{3}));
  EXPECT_EQ(best, (std::vector<std::int32_t>{74, 20, 0}));
}

TEST_P(Reduce, TheLargestOfLongRowsIsThatOfTheDefinition) {
  constexpr int kRows = 40;
  constexpr int kCols = 2500;  // more than two of the pieces that a row is looked through in
  Tensor logits(dtype(), kRows, kCols, 3);
  logits.random(1);
  logits.set(1, 1023, 9);
  logits.set(1, 1024, 9);
  logits.set(2, kCols - 1, 9);
  logits.set(3, 0, NAN);
  logits.set(4, 7, NAN);
  std::vector<std::int32_t> best(kRows, -1);
  argmax_rows(stream_, logits.view(), TensorView(best.data(), DType::kI32, Shape{kRows}));
  for (int row = 0; row < kRows; ++row) {
    int wanted = 0;
    for (int col = 1; col < kCols; ++col) {
      wanted = logits.at(row, wanted) < logits.at(row, col) ? col : wanted;
    }
    EXPECT_EQ(best[static_cast<std::size_t>(row)], wanted) << row;
  }
}

TEST_P(Reduce, ThreadsChangeNoBit) {
  Tensor x(dtype(), 0, 300007);
  x.random(1);
  expect_threads_change_nothing([&] {
    ExactSum blocks;
    squared_norm_blocks(stream_, x.view(), blocks);
    const double values[] = {squared_norm(stream_, x.view()), sum(stream_, x.view()),
                             blocks.value()};
    const auto* begin = reinterpret_cast<const std::byte*>(values);
    return std::vector<std::byte>(begin, begin + sizeof values);
  });
}

FINESCALE_FOR_ALL_TARGETS(Reduce);

}  // namespace
}  // namespace finescale
