// SPDX-License-Identifier: Apache-2.0
#include "kernels/row_gemm.h"

#include "core/error.h"
#include "kernels/round.h"
#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using RowGemm = Kernel;

struct RowSize {
  std::int64_t m, n, k;
};

TEST_P(RowGemm, EveryScaleAndStride) {
  for (const RowSize s : {RowSize{1, 1, 1},
                          {3, 5, 7},
                          {75, 1, 33},
                          {2, 129, 64},
                          {130, 70, 17},
                          {7, 3, 576},
                          {19, 11, 1537},
                          {9, 50, 2}}) {
    for (const auto& [alpha, beta] : {std::pair{1.0, 0.0}, {0.5, 1.0}, {-2.0, 0.25}}) {
      Tensor x(dtype(), s.m, s.k, 3);
      Tensor w(dtype(), s.n, s.k, 5);
      Tensor y(dtype(), s.m, s.n, 2);
      x.random(1);
      w.random(2);
      y.random(3);
      const Tensor before = y;
      row_gemm(stream_, alpha, x.view(), w.view(), beta, y.view());
      const double a = alpha;
      const double b = beta;
      EXPECT_LT(error_of(y,
                         [&](auto i, auto j) {
                           double sum = 0;
                           for (std::int64_t k = 0; k < s.k; ++k) {
                             sum += x.at(i, k) * w.at(j, k);
                           }
                           return a * sum + b * before.at(i, j);
                         }),
                tolerance(dtype()));
      EXPECT_TRUE(y.gaps_untouched());
    }
  }
}

TEST_P(RowGemm, OldValuesAreNotReadWhenBetaIsZero) {
  Tensor x(dtype(), 4, 6);
  Tensor w(dtype(), 3, 6);
  Tensor y(dtype(), 4, 3);
  x.random(1);
  w.random(2);
  for (int i = 0; i < 4; ++i) {
    y.set(i, 1, NAN);
  }
  row_gemm(stream_, 1, x.view(), w.view(), 0, y.view());
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(std::isfinite(y.at(i, 1)));
  }
}

TEST_P(RowGemm, ARowHasTheSameBitsInAnyCompany) {
  for (const RowSize s : {RowSize{200, 37, 23}, {97, 130, 576}, {13, 300, 64}, {40, 21, 1541}}) {
    Tensor x(dtype(), s.m, s.k);
    Tensor w(dtype(), s.n, s.k);
    x.random(1);
    w.random(2);
    Tensor all(dtype(), s.m, s.n);
    row_gemm(stream_, 1, x.view(), w.view(), 0, all.view());
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12}) {
      for (const std::int64_t first : {std::int64_t{0}, std::int64_t{1}, s.m - rows}) {
        Tensor some(dtype(), rows, s.n);
        row_gemm(stream_, 1, x.view().row_range(first, first + rows), w.view(), 0, some.view());
        for (std::int64_t i = 0; i < rows; ++i) {
          for (std::int64_t j = 0; j < s.n; ++j) {
            ASSERT_EQ(some.at(i, j), all.at(first + i, j)) << rows << " rows from " << first;
          }
        }
      }
    }
  }
}

TEST_P(RowGemm, ThreadsChangeNoBit) {
  for (const RowSize s : {RowSize{1, 3000, 64}, {150, 500, 100}, {64, 90, 1600}}) {
    Tensor x(dtype(), s.m, s.k);
    Tensor w(dtype(), s.n, s.k);
    x.random(1);
    w.random(2);
    expect_threads_change_nothing([&] {
      Tensor y(dtype(), s.m, s.n);
      row_gemm(stream_, 1, x.view(), w.view(), 0, y.view());
      return y.bytes();
    });
  }
}

FINESCALE_FOR_ALL_TARGETS(RowGemm);

class RowGemmOfBf16 : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    cpu::ensure_isa();
    cpu::use_isa(GetParam());
  }
  void TearDown() override { cpu::use_isa(active_isa()); }
};

// W in bf16 [N, K], rows `stride` apart, and the same values in f32.
struct BothForms {
  BothForms(std::int64_t rows, std::int64_t cols, std::int64_t stride)
      : upper(static_cast<std::size_t>((rows - 1) * stride + cols)), wide(DType::kF32, rows, cols) {
    wide.random(2);
    half = TensorView(upper.data(), DType::kBf16, Shape{rows, cols});
    half.row_stride = stride;
    round_to_bf16(Stream(), wide.view(), half);
    round_to_bf16(Stream(), wide.view(), wide.view());
  }
  std::vector<std::uint16_t> upper;
  TensorView half;
  Tensor wide;
};

TEST_P(RowGemmOfBf16, HasTheBitsOfItsValues) {
  for (const RowSize s : {RowSize{1, 1, 1},
                          {1, 3000, 64},
                          {3, 5, 7},
                          {2, 129, 33},
                          {40, 70, 17},
                          {130, 301, 576},
                          {64, 90, 1600},
                          {7, 13, 1537}}) {
    for (const std::int64_t stride : {s.k, rounded_stride(s.k), s.k + 3}) {
      BothForms w(s.n, s.k, stride);
      Tensor x(DType::kF32, s.m, s.k, 3);
      x.random(1);
      for (const auto& [alpha, beta] : {std::pair{1.0, 0.0}, {0.5, 1.0}}) {
        Tensor wanted(DType::kF32, s.m, s.n);
        wanted.random(3);
        Tensor y = wanted;
        row_gemm(Stream(), alpha, x.view(), w.wide.view(), beta, wanted.view());
        row_gemm(Stream(), alpha, x.view(), w.half, beta, y.view());
        EXPECT_TRUE(y.bytes() == wanted.bytes()) << s.m << " " << s.n << " " << s.k;
      }
    }
  }
}

TEST(RowGemmTypes, Bf16IsMultipliedInF32Only) {
  BothForms w(4, 6, 6);
  Tensor x(DType::kF64, 2, 6);
  Tensor y(DType::kF64, 2, 4);
  EXPECT_THROW(row_gemm(Stream(), 1, x.view(), w.half, 0, y.view()), Error);
}

INSTANTIATE_TEST_SUITE_P(Isas, RowGemmOfBf16, testing::ValuesIn(isas_of_this_machine()),
                         [](const auto& instance) {
                           return std::string(isa_name(instance.param));
                         });

}  // namespace
}  // namespace finescale
