// SPDX-License-Identifier: Apache-2.0
// Products of operands rounded to bf16, by the instructions of the CPU and by the library.
#include <array>
#include <bit>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/gemm.h"
#include "kernels/round.h"
#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

class Bf16Gemm : public Kernel {
 protected:
  const Stream rounding_ = Stream().with_products(Products::kBf16);
  // The library's bits are those of the instruction set that it started with.
  static bool has_own_bits() {
    return cpu::multiplies_bf16() || is_f64() || std::get<0>(GetParam()) == active_isa();
  }
};

double rounded(double value) {
  auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  bits += 0x7fff + (bits >> 16 & 1);
  return std::bit_cast<float>(bits & 0xffff0000);
}

double product(bool wide, const Tensor& a, const Tensor& b, Transpose ta, Transpose tb,
               std::int64_t inner, std::int64_t i, std::int64_t j) {
  double sum = 0;
  for (std::int64_t k = 0; k < inner; ++k) {
    const double x = ta == Transpose::kNo ? a.at(i, k) : a.at(k, i);
    const double y = tb == Transpose::kNo ? b.at(k, j) : b.at(j, k);
    sum += wide ? x * y : rounded(x) * rounded(y);
  }
  return sum;
}

struct Bf16Case {
  std::int64_t m, n, k;
  Transpose a = Transpose::kNo;
  Transpose b = Transpose::kYes;

  [[nodiscard]] Tensor left(DType dtype) const {
    return Tensor(dtype, a == Transpose::kNo ? m : k, a == Transpose::kNo ? k : m, 3).random(1);
  }
  [[nodiscard]] Tensor right(DType dtype) const {
    return Tensor(dtype, b == Transpose::kNo ? k : n, b == Transpose::kNo ? n : k, 5).random(2);
  }
};

// Sizes on both sides of tiles, panels and of what is summed or packed at once.
TEST_P(Bf16Gemm, IsTheFormulaOfRoundedOperands) {
  for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{1, 1, 1},
                                {3, 5, 7},
                                {75, 1, 33},
                                {1, 129, 64},
                                {13, 50, 2100},
                                {200, 70, 17},
                                {9, 2100, 10}}) {
    for (const Transpose ta : {Transpose::kNo, Transpose::kYes}) {
      for (const Transpose tb : {Transpose::kNo, Transpose::kYes}) {
        for (const auto& [alpha, beta] : {std::pair{1.0, 0.0}, {-2.0, 0.25}}) {
          const Bf16Case t = {m, n, k, ta, tb};
          Tensor a = t.left(dtype());
          Tensor b = t.right(dtype());
          Tensor c(dtype(), m, n, 2);
          c.random(3);
          const Tensor before = c;
          gemm(rounding_, ta, tb, alpha, a.view(), b.view(), beta, c.view());
          const double x = alpha;
          const double y = beta;
          const std::int64_t inner = k;
          EXPECT_LT(error_of(c,
                             [&](auto i, auto j) {
                               return x * product(is_f64(), a, b, ta, tb, inner, i, j) +
                                      y * before.at(i, j);
                             }),
                    tolerance(dtype()));
          EXPECT_TRUE(c.gaps_untouched());
        }
      }
    }
  }
}

TEST_P(Bf16Gemm, OldValuesAreNotReadWhenBetaIsZero) {
  Tensor a(dtype(), 4, 6);
  Tensor b(dtype(), 6, 3);
  Tensor c(dtype(), 4, 3);
  a.random(1);
  b.random(2);
  for (int i = 0; i < 4; ++i) {
    c.set(i, 1, NAN);
  }
  gemm(rounding_, Transpose::kNo, Transpose::kNo, 1, a.view(), b.view(), 0, c.view());
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(std::isfinite(c.at(i, 1)));
  }
}

TEST_P(Bf16Gemm, ThreadsChangeNoBit) {
  if (!has_own_bits()) {
    GTEST_SKIP() << "the library keeps the instruction set it started with";
  }
  for (const Bf16Case& t : {Bf16Case{2048, 8, 128},
                            {8, 128, 2048, Transpose::kYes, Transpose::kNo},
                            {128, 128, 2048, Transpose::kYes, Transpose::kNo},
                            {240, 384, 128},
                            {65, 1100, 40},
                            {1030, 1090, 24, Transpose::kNo, Transpose::kNo}}) {
    Tensor a = t.left(dtype());
    Tensor b = t.right(dtype());
    expect_threads_change_nothing([&] {
      Tensor c(dtype(), t.m, t.n);
      gemm(rounding_, t.a, t.b, 1, a.view(), b.view(), 0, c.view());
      return c.bytes();
    });
  }
}

// Where the CPU multiplies bf16; the library cuts by shape.
TEST_P(Bf16Gemm, RowsHaveTheSameBitsAlone) {
  if (!cpu::multiplies_bf16() || is_f64()) {
    GTEST_SKIP() << "not on this instruction set";
  }
  const Bf16Case t = {300, 150, 1500};
  Tensor a = t.left(dtype());
  Tensor b = t.right(dtype());
  Tensor all(dtype(), t.m, t.n);
  gemm(rounding_, t.a, t.b, 1, a.view(), b.view(), 0, all.view());
  for (const std::int64_t row : {0, 47, 191, 299}) {
    Tensor one(dtype(), 1, t.n);
    gemm(rounding_, t.a, t.b, 1, a.view().row_range(row, row + 1), b.view(), 0, one.view());
    for (std::int64_t j = 0; j < t.n; ++j) {
      ASSERT_EQ(one.at(0, j), all.at(row, j)) << row << ", " << j;
    }
  }
}

// What is stored rounded gives the bits of what is rounded at every product.
TEST_P(Bf16Gemm, StoredRoundedChangesNoBit) {
  if (is_f64()) {
    GTEST_SKIP() << "rounding is of f32";
  }
  for (const Transpose tb : {Transpose::kNo, Transpose::kYes}) {
    for (const std::int64_t m : {5, 300}) {
      const Bf16Case t = {m, 90, 1101, Transpose::kNo, tb};
      Tensor a = t.left(dtype());
      Tensor b = t.right(dtype());
      std::vector<std::uint16_t> memory(static_cast<std::size_t>(b.rows() * b.cols()));
      const TensorView stored(memory.data(), DType::kBf16, Shape{b.rows(), b.cols()});
      round_to_bf16(stream_, b.view(), stored);
      Tensor fresh(dtype(), t.m, t.n);
      Tensor kept(dtype(), t.m, t.n);
      gemm(rounding_, t.a, tb, 1, a.view(), b.view(), 0, fresh.view());
      gemm(rounding_, t.a, tb, 1, a.view(), stored, 0, kept.view());
      EXPECT_TRUE(fresh.bytes() == kept.bytes());
    }
  }
}

// y = x W^T, p = x A^T, y[:, part] += 2 p B^T: as product by product.
TEST_P(Bf16Gemm, ProductsByRowsAreThoseOneByOne) {
  if (!has_own_bits()) {
    GTEST_SKIP() << "the library keeps the instruction set it started with";
  }
  for (const std::int64_t rows : {3, 700}) {
    Tensor x(dtype(), rows, 33, 1);
    Tensor w(dtype(), 150, 33);
    Tensor a(dtype(), 4, 33);
    Tensor b(dtype(), 20, 4);
    x.random(1);
    w.random(2);
    a.random(3);
    b.random(4);
    const auto layer = [&](bool by_rows) {
      Tensor y(dtype(), rows, 150, 2);
      Tensor p(dtype(), rows, 4);
      const RowProduct products[] = {{1, x.view(), w.view(), 0, y.view()},
                                     {1, x.view(), a.view(), 0, p.view()},
                                     {2, p.view(), b.view(), 1, y.view().columns(30, 50)}};
      if (by_rows) {
        gemm_by_rows(rounding_, Transpose::kYes, products);
      } else {
        for (const RowProduct& r : products) {
          gemm(rounding_, Transpose::kNo, Transpose::kYes, r.alpha, r.a, r.b, r.beta, r.c);
        }
      }
      EXPECT_TRUE(y.gaps_untouched());
      return y.bytes();
    };
    EXPECT_TRUE(layer(true) == layer(false));
    expect_threads_change_nothing([&] { return layer(true); });
  }
}

TEST(RoundToBf16, ToNearestTiesToEvenAndNan) {
  const float values[] = {1.0F, 1.00390625F, 1.01171875F, -1.004F, INFINITY, NAN, 0.0F};
  const float wanted[] = {1.0F, 1.0F, 1.015625F, -1.0078125F, INFINITY, NAN, 0.0F};
  float got[7];
  const Shape shape{7};
  round_to_bf16(Stream(), TensorView(const_cast<float*>(values), DType::kF32, shape),
                TensorView(got, DType::kF32, shape));
  for (int i = 0; i < 7; ++i) {
    EXPECT_TRUE(got[i] == wanted[i] || (std::isnan(got[i]) && std::isnan(wanted[i]))) << i;
  }
}

FINESCALE_FOR_ALL_TARGETS(Bf16Gemm);

}  // namespace
}  // namespace finescale
