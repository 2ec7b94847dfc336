// SPDX-License-Identifier: Apache-2.0
// Gradient descent and Lion.
#include "kernels/lion.h"
#include "kernels/sgd.h"
#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using SimpleUpdates = Kernel;

// Three steps of update(w, g, m, step) against formula(w, g, m) on single numbers.
template <class Update, class Formula>
void expect_formula(DType dtype, const Update& update, const Formula& formula) {
  for (const std::int64_t count : {1, 7, 75, 20011}) {
    Tensor w(dtype, 0, count);
    Tensor m(dtype, 0, count);
    w.random(1);
    std::vector<double> want_w;
    std::vector<double> want_m(static_cast<std::size_t>(count), 0);
    for (std::int64_t i = 0; i < count; ++i) {
      want_w.push_back(w.at(i));
    }
    for (std::uint64_t step = 1; step <= 3; ++step) {
      Tensor g(dtype, 0, count);
      g.random(10 + step, 0.1);
      if (count > 1) {
        g.set(0, 1, 0);  // without a sign
      }
      update(w.view(), g.view(), m.view());
      for (std::int64_t i = 0; i < count; ++i) {
        const auto k = static_cast<std::size_t>(i);
        formula(want_w[k], 0.5 * g.at(i), want_m[k]);
      }
    }
    EXPECT_LT(error_of(w, [&](auto, auto c) { return want_w[static_cast<std::size_t>(c)]; }),
              tolerance(dtype));
    EXPECT_LT(error_of(m, [&](auto, auto c) { return want_m[static_cast<std::size_t>(c)]; }),
              tolerance(dtype));
  }
}

TEST_P(SimpleUpdates, GradientDescentIsTheFormula) {
  for (const double momentum : {0.0, 0.9}) {
    for (const bool nesterov : {false, true}) {
      expect_formula(
          dtype(),
          [&](const TensorView& w, const TensorView& g, const TensorView& m) {
            sgd_update(stream_,
                       {.learning_rate = 0.1,
                        .momentum = momentum,
                        .nesterov = nesterov,
                        .weight_decay = 0.2,
                        .gradient_scale = 0.5},
                       w, g, m);
          },
          [&](double& w, double g, double& m) {
            double change = g;
            if (momentum > 0) {
              m = momentum * m + g;
              change = nesterov ? g + momentum * m : m;
            }
            w = w * (1 - 0.1 * 0.2) - 0.1 * change;
          });
    }
  }
}

TEST_P(SimpleUpdates, LionIsTheFormula) {
  expect_formula(
      dtype(),
      [&](const TensorView& w, const TensorView& g, const TensorView& m) {
        lion_update(stream_,
                    {.learning_rate = 0.01,
                     .beta1 = 0.9,
                     .beta2 = 0.98,
                     .weight_decay = 0.3,
                     .gradient_scale = 0.5},
                    w, g, m);
      },
      [](double& w, double g, double& m) {
        const double mixed = 0.9 * m + 0.1 * g;
        const double sign = mixed > 0 ? 1 : mixed < 0 ? -1 : 0;
        w = w * (1 - 0.01 * 0.3) - 0.01 * sign;
        m = 0.98 * m + 0.02 * g;
      });
}

TEST_P(SimpleUpdates, ThreadsChangeNoBit) {
  expect_threads_change_nothing([&] {
    Tensor w(dtype(), 0, 100003);
    Tensor g(dtype(), 0, 100003);
    Tensor m(dtype(), 0, 100003);
    sgd_update(stream_, {.learning_rate = 0.1, .momentum = 0.9}, w.random(1).view(),
               g.random(2).view(), m.view());
    lion_update(stream_, {.learning_rate = 0.1}, w.view(), g.view(), m.view());
    return bytes_of({&w, &m});
  });
}

FINESCALE_FOR_ALL_TARGETS(SimpleUpdates);

}  // namespace
}  // namespace finescale
