// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using Gemm = Kernel;

double product(const Tensor& a, const Tensor& b, Transpose ta, Transpose tb, std::int64_t inner,
               std::int64_t i, std::int64_t j) {
  double sum = 0;
  for (std::int64_t k = 0; k < inner; ++k) {
    sum += (ta == Transpose::kNo ? a.at(i, k) : a.at(k, i)) *
           (tb == Transpose::kNo ? b.at(k, j) : b.at(j, k));
  }
  return sum;
}

struct Size {
  std::int64_t m, n, k;
};

TEST_P(Gemm, EveryTransposeScaleAndStride) {
  for (const Size s : {Size{1, 1, 1},
                       {3, 5, 7},
                       {75, 1, 33},
                       {1, 129, 64},
                       {130, 70, 17},
                       {29, 24, 90},
                       {50, 8, 40},
                       {7, 70, 100}}) {
    for (const Transpose ta : {Transpose::kNo, Transpose::kYes}) {
      for (const Transpose tb : {Transpose::kNo, Transpose::kYes}) {
        for (const auto& [alpha, beta] : {std::pair{1.0, 0.0}, {0.5, 1.0}, {-2.0, 0.25}}) {
          Tensor a(dtype(), ta == Transpose::kNo ? s.m : s.k, ta == Transpose::kNo ? s.k : s.m, 3);
          Tensor b(dtype(), tb == Transpose::kNo ? s.k : s.n, tb == Transpose::kNo ? s.n : s.k, 5);
          Tensor c(dtype(), s.m, s.n, 2);
          a.random(1);
          b.random(2);
          c.random(3);
          const Tensor before = c;
          gemm(stream_, ta, tb, alpha, a.view(), b.view(), beta, c.view());
          const double x = alpha;
          const double y = beta;
          EXPECT_LT(error_of(c,
                             [&](auto i, auto j) {
                               return x * product(a, b, ta, tb, s.k, i, j) + y * before.at(i, j);
                             }),
                    tolerance(dtype()));
          EXPECT_TRUE(c.gaps_untouched());
        }
      }
    }
  }
}

// A gradient of weights whose operands' rows are 4 KiB apart works on copies.
TEST_P(Gemm, GradientOfRowsThatMeetInTheCache) {
  for (const auto& [m, n] : {std::pair<std::int64_t, std::int64_t>{1024, 30}, {90, 1024}}) {
    Tensor a(dtype(), 37, m, 1024 - m);
    Tensor b(dtype(), 37, n, 1024 - n);
    Tensor c(dtype(), m, n, 2);
    a.random(1);
    b.random(2);
    c.random(3);
    const Tensor before = c;
    gemm(stream_, Transpose::kYes, Transpose::kNo, 0.5, a.view(), b.view(), 1, c.view());
    EXPECT_LT(error_of(c,
                       [&](auto i, auto j) {
                         return 0.5 * product(a, b, Transpose::kYes, Transpose::kNo, 37, i, j) +
                                before.at(i, j);
                       }),
              tolerance(dtype()));
    EXPECT_TRUE(a.gaps_untouched() && b.gaps_untouched() && c.gaps_untouched());
  }
}

TEST_P(Gemm, OldValuesAreNotReadWhenBetaIsZero) {
  Tensor a(dtype(), 4, 6);
  Tensor b(dtype(), 6, 3);
  Tensor c(dtype(), 4, 3);
  a.random(1);
  b.random(2);
  for (int i = 0; i < 4; ++i) {
    c.set(i, 1, NAN);
  }
  gemm(stream_, Transpose::kNo, Transpose::kNo, 1, a.view(), b.view(), 0, c.view());
  EXPECT_LT(
      error_of(c, [&](auto i,
                      auto j) { return product(a, b, Transpose::kNo, Transpose::kNo, 6, i, j); }),
      tolerance(dtype()));
}

// The shapes in which the vendor's own threads were seen to change bits are among these, and so are
// sizes on both sides of every cut.
TEST_P(Gemm, ThreadsChangeNoBit) {
  if (std::get<0>(GetParam()) != active_isa()) {
    GTEST_SKIP() << "the library keeps the instruction set it started with";
  }
  struct Case {
    Size size;
    Transpose a, b;
  };
  for (const Case& t : {Case{{2048, 8, 128}, Transpose::kNo, Transpose::kYes},
                        {{8, 128, 2048}, Transpose::kYes, Transpose::kNo},
                        {{200, 8, 2048}, Transpose::kYes, Transpose::kNo},
                        {{1024, 24, 65}, Transpose::kNo, Transpose::kYes},
                        {{128, 128, 2048}, Transpose::kYes, Transpose::kNo},
                        {{240, 384, 128}, Transpose::kNo, Transpose::kYes},
                        {{65, 1100, 40}, Transpose::kNo, Transpose::kYes},
                        {{1030, 1090, 24}, Transpose::kNo, Transpose::kNo}}) {
    Tensor a(dtype(), t.a == Transpose::kNo ? t.size.m : t.size.k,
             t.a == Transpose::kNo ? t.size.k : t.size.m);
    Tensor b(dtype(), t.b == Transpose::kNo ? t.size.k : t.size.n,
             t.b == Transpose::kNo ? t.size.n : t.size.k);
    a.random(1);
    b.random(2);
    expect_threads_change_nothing([&] {
      Tensor c(dtype(), t.size.m, t.size.n);
      gemm(stream_, t.a, t.b, 1, a.view(), b.view(), 0, c.view());
      return c.bytes();
    });
  }
}

TEST_P(Gemm, CutProductsAreTheFormula) {
  Tensor a(dtype(), 1030, 30, 1);
  Tensor b(dtype(), 1090, 30, 2);
  Tensor c(dtype(), 1030, 1090, 3);
  a.random(1);
  b.random(2);
  gemm(stream_, Transpose::kNo, Transpose::kYes, 1, a.view(), b.view(), 0, c.view());
  EXPECT_LT(
      error_of(c, [&](auto i,
                      auto j) { return product(a, b, Transpose::kNo, Transpose::kYes, 30, i, j); }),
      tolerance(dtype()));
  EXPECT_TRUE(c.gaps_untouched());
}

// Gradients of low-rank branches: many rows in between, one side with a few columns and the other
// with more than a part of the work has.
TEST_P(Gemm, NarrowProductsAreTheFormula) {
  for (const Size s : {Size{7, 790, 650}, {790, 9, 650}, {24, 59, 513}, {59, 24, 513}}) {
    for (const Transpose tb : {Transpose::kNo, Transpose::kYes}) {
      Tensor a(dtype(), s.k, s.m, 1);
      Tensor b(dtype(), tb == Transpose::kNo ? s.k : s.n, tb == Transpose::kNo ? s.n : s.k, 2);
      Tensor c(dtype(), s.m, s.n, 3);
      a.random(1);
      b.random(2);
      c.random(3);
      const Tensor before = c;
      gemm(stream_, Transpose::kYes, tb, 0.5, a.view(), b.view(), 2, c.view());
      EXPECT_LT(error_of(c,
                         [&](auto i, auto j) {
                           return 0.5 * product(a, b, Transpose::kYes, tb, s.k, i, j) +
                                  2 * before.at(i, j);
                         }),
                tolerance(dtype()));
      EXPECT_TRUE(c.gaps_untouched());
    }
  }
}

// A layer with low-rank parts: y = x W^T, p = x A^T, y[:, part] += 2 p B^T; on both sides of the
// number of rows from which blocks are made, and so wide that they are blocks of columns too.
TEST_P(Gemm, ProductsByRowsSeeWhatCameBeforeThem) {
  struct Layer {
    std::int64_t rows, columns, begin, end;  // of y, and of the low-rank part
  };
  for (const Layer& s : {Layer{3, 50, 30, 50}, Layer{255, 50, 30, 50}, Layer{256, 50, 30, 50},
                         Layer{700, 50, 30, 50}, Layer{260, 1100, 100, 1001}}) {
    Tensor x(dtype(), s.rows, 33, 1);
    Tensor w(dtype(), s.columns, 33);
    Tensor a(dtype(), 4, 33);
    Tensor b(dtype(), s.end - s.begin, 4);
    x.random(1);
    w.random(2);
    a.random(3);
    b.random(4);
    const auto layer = [&](Tensor& y, Tensor& p) {
      const RowProduct products[] = {{1, x.view(), w.view(), 0, y.view()},
                                     {1, x.view(), a.view(), 0, p.view()},
                                     {2, p.view(), b.view(), 1, y.view().columns(s.begin, s.end)}};
      gemm_by_rows(stream_, Transpose::kYes, products);
    };
    Tensor y(dtype(), s.rows, s.columns, 2);
    Tensor p(dtype(), s.rows, 4);
    layer(y, p);
    EXPECT_LT(error_of(y,
                       [&](auto i, auto j) {
                         double sum = product(x, w, Transpose::kNo, Transpose::kYes, 33, i, j);
                         for (std::int64_t r = 0; r < 4 && j >= s.begin && j < s.end; ++r) {
                           sum += 2 * product(x, a, Transpose::kNo, Transpose::kYes, 33, i, r) *
                                  b.at(j - s.begin, r);
                         }
                         return sum;
                       }),
              tolerance(dtype()));
    EXPECT_TRUE(y.gaps_untouched());
    if (std::get<0>(GetParam()) == active_isa()) {
      expect_threads_change_nothing([&] {
        Tensor again(dtype(), s.rows, s.columns);
        layer(again, p);
        return again.bytes();
      });
    }
  }
}

FINESCALE_FOR_ALL_TARGETS(Gemm);

}  // namespace
}  // namespace finescale
