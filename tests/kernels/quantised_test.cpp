// SPDX-License-Identifier: Apache-2.0
#include "kernels/quantised.h"

#include <gmock/gmock.h>

#include "kernels/row_gemm.h"
#include "tests/kernels/kernel_fixture.h"
#include "tests/kernels/stored_matrix.h"

namespace finescale {
namespace {

// sqrt(mean squared error / mean square) of N(0, 1).
double relative_error(QuantFormat format, bool doubles) {
  constexpr std::int64_t kRows = 512;
  Tensor w(DType::kF32, kRows, 1024);
  w.random(5);
  const StoredMatrix stored(format, w.view(), doubles);
  Tensor back(DType::kF32, kRows, 1024);
  dequantise(Stream(), stored.matrix, 0, 0, back.view());
  double error = 0;
  double square = 0;
  for (std::int64_t r = 0; r < w.rows(); ++r) {
    for (std::int64_t c = 0; c < w.cols(); ++c) {
      error += std::pow(w.at(r, c) - back.at(r, c), 2);
      square += std::pow(w.at(r, c), 2);
    }
  }
  return std::sqrt(error / square);
}

TEST(Quantised, LevelsAreThoseOfTheFormats) {
  EXPECT_THAT(levels_of(QuantFormat::kNf4),
              testing::Pointwise(testing::FloatNear(6e-5F),
                                 {-1.F, -.6962F, -.5251F, -.3949F, -.2844F, -.1848F, -.0910F, 0.F,
                                  .0796F, .1609F, .2461F, .3379F, .4407F, .5626F, .7230F, 1.F}));
  EXPECT_THAT(levels_of(QuantFormat::kInt3),
              testing::ElementsAre(-1, -1, -2.F / 3, -1.F / 3, 0, 1.F / 3, 2.F / 3, 1));
  EXPECT_THAT(levels_of(QuantFormat::kInt2), testing::ElementsAre(-1, -1, 0, 1));
  EXPECT_THAT(levels_of(QuantFormat::kFp4).first(8),
              testing::ElementsAre(0, .5F / 6, 1.F / 6, 1.5F / 6, 2.F / 6, .5F, 4.F / 6, 1));
  EXPECT_EQ(levels_of(QuantFormat::kInt8).size(), 256U);
}

// Published for blocks of 64 normal numbers: NF4 .092, FP4 .105, INT4 .108.
TEST(Quantised, ErrorsOfNormalNumbersAreThoseOfTheFormats) {
  EXPECT_NEAR(relative_error(QuantFormat::kNf4, false), 0.092, 0.001);
  EXPECT_NEAR(relative_error(QuantFormat::kFp4, false), 0.105, 0.001);
  EXPECT_NEAR(relative_error(QuantFormat::kInt4, false), 0.108, 0.001);
  EXPECT_LT(relative_error(QuantFormat::kInt8, false), 0.007);
  const double int3 = relative_error(QuantFormat::kInt3, false);
  EXPECT_GT(int3, 0.2);
  EXPECT_GT(relative_error(QuantFormat::kInt2, false), int3);
  EXPECT_NEAR(relative_error(QuantFormat::kNf4, true), 0.092, 0.001);
}

// 4 + 8 / 64 + 32 / (64 * 256) bits.
TEST(Quantised, AParameterTakesFourBitsAndAnEighth) {
  Tensor w(DType::kF32, 256, 1024);
  w.random(5);
  const QuantisedBlocks blocks = quantise(QuantFormat::kNf4, w.view());
  const QuantisedScales scales = quantise_scales(blocks.scales);
  const std::size_t bytes =
      blocks.codes.size() + scales.codes.size() + scales.factors.size() * sizeof(float);
  EXPECT_NEAR(8.0 * static_cast<double>(bytes) / (256 * 1024), 4.127, 0.0005);
}

TEST(Quantised, ZerosAndExtremesComeBackAsTheyWere) {
  for (const QuantFormat format : kQuantFormats) {
    Tensor w(DType::kF32, 2, 70);  // a block of zeros, and one of six
    w.set(0, 3, -2.5);
    w.set(0, 40, 2.5);
    const StoredMatrix stored(format, w.view(), false);
    Tensor back(DType::kF32, 2, 70);
    dequantise(Stream(), stored.matrix, 0, 0, back.view());
    for (std::int64_t c = 0; c < 70; ++c) {
      EXPECT_EQ(back.at(0, c), w.at(0, c)) << c;
      EXPECT_EQ(back.at(1, c), 0) << c;
    }
  }
}

using QuantisedProducts = Kernel;

TEST_P(QuantisedProducts, AnyPartIsThatOfTheWhole) {
  Tensor w(dtype(), 5, 200);
  w.random(1);
  for (const QuantFormat format : kQuantFormats) {
    const StoredMatrix whole(format, w.view(), true);
    Tensor all(dtype(), 5, 200);
    dequantise(stream_, whole.matrix, 0, 0, all.view());
    for (const auto& [begin, end] : {std::pair{0, 200}, {64, 128}, {50, 150}, {130, 137}}) {
      const StoredMatrix part(format, w.view(), true, begin, end);
      Tensor some(dtype(), 3, end - begin - 2, 3);
      dequantise(stream_, part.matrix, 1, 1, some.view());
      for (std::int64_t r = 0; r < some.rows(); ++r) {
        for (std::int64_t c = 0; c < some.cols(); ++c) {
          ASSERT_EQ(some.at(r, c), all.at(1 + r, begin + 1 + c));
        }
      }
      EXPECT_TRUE(some.gaps_untouched());
    }
  }
}

TEST_P(QuantisedProducts, AreThoseOfTheLevels) {
  constexpr std::int64_t kTokens = 7;
  for (const auto& [n, k] : {std::pair{3, 5}, {70, 65}, {130, 192}, {9000, 64}}) {
    Tensor w(dtype(), n, k);
    w.random(2);
    const StoredMatrix stored(QuantFormat::kNf4, w.view(), true);
    Tensor back(dtype(), n, k);
    dequantise(stream_, stored.matrix, 0, 0, back.view());
    Tensor x(dtype(), kTokens, k, 2);
    Tensor dy(dtype(), kTokens, n, 2);
    Tensor y(dtype(), kTokens, n, 1);
    Tensor by_row(dtype(), kTokens, n);
    Tensor dx(dtype(), kTokens, k, 1);
    x.random(3);
    dy.random(4);
    dx.random(5);
    const Tensor before = dx;
    quantised_gemm(stream_, Transpose::kYes, x.view(), stored.matrix, 0, y.view());
    quantised_row_gemm(stream_, x.view(), stored.matrix, by_row.view());
    quantised_gemm(stream_, Transpose::kNo, dy.view(), stored.matrix, 1, dx.view());
    const Formula forward = [&](auto t, auto j) {
      double sum = 0;
      for (std::int64_t c = 0; c < k; ++c) {
        sum += x.at(t, c) * back.at(j, c);
      }
      return sum;
    };
    EXPECT_LT(error_of(y, forward), tolerance(dtype()));
    EXPECT_LT(error_of(by_row, forward), tolerance(dtype()));
    EXPECT_LT(error_of(dx,
                       [&](auto t, auto c) {
                         double sum = before.at(t, c);
                         for (std::int64_t j = 0; j < n; ++j) {
                           sum += dy.at(t, j) * back.at(j, c);
                         }
                         return sum;
                       }),
              tolerance(dtype()));
    Tensor whole(dtype(), kTokens, n);
    row_gemm(stream_, 1, x.view(), back.view(), 0, whole.view());
    EXPECT_TRUE(by_row.bytes() == whole.bytes());
    EXPECT_TRUE(y.gaps_untouched() && dx.gaps_untouched());
  }
}

TEST_P(QuantisedProducts, ThreadsAndInstructionSetsChangeNothing) {
  Tensor w(dtype(), 300, 320);
  w.random(2);
  Tensor x(dtype(), 40, 320);
  x.random(3);
  for (const QuantFormat format : kQuantFormats) {
    const StoredMatrix stored(format, w.view(), true);
    expect_threads_change_nothing([&] {
      Tensor y(dtype(), 40, 300);
      quantised_gemm(stream_, Transpose::kYes, x.view(), stored.matrix, 0, y.view());
      return y.bytes();
    });
    Tensor here(dtype(), 300, 320);
    dequantise(stream_, stored.matrix, 0, 0, here.view());
    cpu::use_isa(Isa::kScalar);
    Tensor plain(dtype(), 300, 320);
    dequantise(stream_, stored.matrix, 0, 0, plain.view());
    cpu::use_isa(std::get<0>(GetParam()));
    EXPECT_TRUE(here.bytes() == plain.bytes());
  }
}

FINESCALE_FOR_ALL_TARGETS(QuantisedProducts);

}  // namespace
}  // namespace finescale
