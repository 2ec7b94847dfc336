// SPDX-License-Identifier: Apache-2.0
#include "kernels/bias.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using Bias = Kernel;

TEST_P(Bias, IsAddedToEveryRowAndItsGradientIsTheColumnSum) {
  for (const auto& [rows, width] : {std::pair{1, 1}, {5, 7}, {200, 75}, {3, 1030}}) {
    Tensor bias(dtype(), 0, width);
    Tensor y(dtype(), rows, width, 3);
    Tensor dbias(dtype(), 0, width);
    bias.random(1);
    y.random(2);
    dbias.random(3);
    const Tensor before = y;
    const Tensor begun = dbias;
    bias_gradient(stream_, y.view(), dbias.view());
    EXPECT_LT(error_of(dbias,
                       [&](auto, auto c) {
                         double sum = begun.at(c);
                         for (std::int64_t t = 0; t < before.rows(); ++t) {
                           sum += before.at(t, c);
                         }
                         return sum;
                       }),
              tolerance(dtype()));
    bias_add(stream_, bias.view(), y.view());
    EXPECT_LT(error_of(y, [&](auto t, auto c) { return before.at(t, c) + bias.at(c); }),
              tolerance(dtype()));
    const Tensor sum = y;
    affine_in_place(stream_, -1.5, 0.25, y.view());
    EXPECT_LT(error_of(y, [&](auto t, auto c) { return 0.25 - 1.5 * sum.at(t, c); }),
              tolerance(dtype()));
    EXPECT_TRUE(y.gaps_untouched());
  }
}

TEST_P(Bias, ThreadsChangeNoBit) {
  expect_threads_change_nothing([&] {
    Tensor y(dtype(), 900, 75, 1);
    Tensor dbias(dtype(), 0, 75);
    y.random(1);
    bias_gradient(stream_, y.view(), dbias.view());
    bias_add(stream_, dbias.view(), y.view());
    return bytes_of({&y, &dbias});
  });
}

FINESCALE_FOR_ALL_TARGETS(Bias);

}  // namespace
}  // namespace finescale
