// SPDX-License-Identifier: Apache-2.0
#include "kernels/scaled_matrix.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using ScaledMatrix = Kernel;

TEST_P(ScaledMatrix, IsTheFormulaAndItsSlope) {
  for (const auto& [rows, columns] : {std::pair{1, 1}, {7, 5}, {130, 67}}) {
    Tensor matrix(dtype(), rows, columns, 3);
    Tensor out(dtype(), rows, columns, 1);
    Tensor dout(dtype(), rows, columns, 2);
    Tensor left(dtype(), 0, rows);
    Tensor right(dtype(), 0, columns);
    Tensor dleft(dtype(), 0, rows);
    Tensor dright(dtype(), 0, columns);
    matrix.random(1);
    dout.random(2);
    left.random(3);
    right.random(4);
    dleft.random(5);
    dright.random(6);
    const Tensor before_left = dleft;
    const Tensor before_right = dright;
    scale_matrix(stream_, left.view(), matrix.view(), right.view(), out.view());
    EXPECT_LT(
        error_of(out, [&](auto r, auto c) { return left.at(r) * matrix.at(r, c) * right.at(c); }),
        tolerance(dtype()));
    scale_matrix_gradient(stream_, dout.view(), left.view(), matrix.view(), right.view(),
                          dleft.view(), dright.view());
    EXPECT_LT(error_of(dleft,
                       [&, n = columns](auto, auto r) {
                         double sum = before_left.at(r);
                         for (std::int64_t c = 0; c < n; ++c) {
                           sum += dout.at(r, c) * matrix.at(r, c) * right.at(c);
                         }
                         return sum;
                       }),
              tolerance(dtype()));
    EXPECT_LT(error_of(dright,
                       [&, n = rows](auto, auto c) {
                         double sum = before_right.at(c);
                         for (std::int64_t r = 0; r < n; ++r) {
                           sum += dout.at(r, c) * matrix.at(r, c) * left.at(r);
                         }
                         return sum;
                       }),
              tolerance(dtype()));
    EXPECT_TRUE(out.gaps_untouched());
  }
}

FINESCALE_FOR_ALL_TARGETS(ScaledMatrix);

}  // namespace
}  // namespace finescale
