// SPDX-License-Identifier: Apache-2.0
// The products of generation: a row has the same bits in any company, however W is stored.
#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/cuda/row_gemm.h"
#include "kernels/round.h"
#include "tests/cuda_emulation/cases.h"
#include "tests/cuda_emulation/include/cuda_runtime.h"

namespace finescale {
namespace {

// With the cuts' sums apart and in one block, however many rows there are.
TEST(RowGemm, ARowHasTheSameBitsInAnyCompany) {
  const Side side(DeviceType::kCuda, DType::kF32);
  constexpr std::int64_t kMost = 66;
  constexpr std::int64_t kWidth = 70;
  for (const std::int64_t inner : {5, 64, 600}) {
    Array x = side.input(1, kMost, inner);
    Array w = side.input(2, kWidth, inner);
    Array whole = side.output(kMost, kWidth);
    cuda::row_gemm(side.stream, 1, x.view(), w.view(), 0, whole.view(), TensorView());
    const std::int64_t cuts = cuda::row_gemm_cuts(inner).count;
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 63, 64, 65}) {
      const std::int64_t first = kMost - rows - rows % 2;
      Array some = side.output(rows, kWidth);
      Array partials = side.output(cuts, rows * kWidth);
      const bool shares = cuts > 1 && rows % 3 != 0;
      cuda::row_gemm(side.stream, 1, x.view().row_range(first, first + rows), w.view(), 0,
                     some.view(), shares ? partials.view() : TensorView());
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < kWidth; ++c) {
          ASSERT_EQ(some.at(r, c), whole.at(first + r, c)) << rows << " rows over " << inner;
        }
      }
    }
  }
}

// W in bf16 as generation keeps it: `gap` elements lie between its rows.
struct HalvedWeights {
  HalvedWeights(const Side& side, std::int64_t rows, std::int64_t cols, std::int64_t gap)
      : narrow(side.bf16_input(2, rows, cols, gap)), wide(DType::kF32, rows, cols) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        wide.set(r, c, narrow.at(r, c));
      }
    }
  }
  Array narrow, wide;
};

// In packs and element by element, with the cuts' sums apart and in one block, in every tile.
TEST(RowGemm, WInBf16GivesTheBitsOfItsValuesInF32) {
  using cuda::emulation::Order;
  const Side side(DeviceType::kCuda, DType::kF32);
  constexpr std::int64_t kWidth = 65;
  for (const std::int64_t inner : {1, 33, 36, 576, 1537}) {
    const std::int64_t padding = rounded_stride(inner) - inner;
    const std::int64_t cuts = cuda::row_gemm_cuts(inner).count;
    for (const std::int64_t gap : {padding, padding + 3}) {
      HalvedWeights w(side, kWidth, inner, gap);
      for (const std::int64_t rows : {1, 2, 3, 5, 8, 16, 31, 33, 64, 75, 130}) {
        SCOPED_TRACE(testing::Message() << rows << " rows over " << inner << " and " << gap);
        Array x = side.input(1, rows, inner, 4);
        Array partials = side.output(cuts, rows * kWidth);
        const bool shares = cuts > 1 && rows % 3 != 0;
        const auto product = [&](Array& of) {
          Array y = side.input(3, rows, kWidth, 2);
          cuda::row_gemm(side.stream, -0.5, x.view(), of.view(), 0.25, y.view(),
                         shares ? partials.view() : TensorView());
          return y;
        };
        const Array wanted = product(w.wide);
        for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
          cuda::emulation::set_order(order, 11);
          EXPECT_TRUE(product(w.narrow).bytes() == wanted.bytes());
        }
        cuda::emulation::set_order(Order::kForward);
      }
    }
  }
}

// Bits depend on where the cuts of K lie.
TEST(RowGemm, KIsCutIntoUpToEightPartsOfWholeSteps) {
  struct Wanted {
    std::int64_t inner, size, count;
  };
  for (const auto& [inner, size, count] : std::vector<Wanted>{{1, 256, 1},
                                                              {256, 256, 1},
                                                              {257, 256, 2},
                                                              {2048, 256, 8},
                                                              {2049, 288, 8},
                                                              {2304, 288, 8},
                                                              {2305, 320, 8},
                                                              {4096, 512, 8},
                                                              {14336, 1792, 8}}) {
    const cuda::RowGemmCuts cuts = cuda::row_gemm_cuts(inner);
    EXPECT_EQ(cuts.size, size) << inner;
    EXPECT_EQ(cuts.count, count) << inner;
  }
}

// Blocks of 64 x 64 share the cuts where they are fewer than 264, or rows are at most eight.
TEST(RowGemm, CutsAreSharedWhereThereAreTooFewBlocks) {
  constexpr std::int64_t kInner = 4096;
  const auto sums = [](std::int64_t rows, std::int64_t col_blocks) {
    return cuda::row_gemm_partials(rows, 64 * col_blocks, kInner);
  };
  EXPECT_EQ(sums(64, 263), 8 * 64 * 64 * 263);
  EXPECT_EQ(sums(64, 264), 0);
  EXPECT_EQ(sums(65, 131), 8 * 65 * 64 * 131);
  EXPECT_EQ(sums(65, 132), 0);
  EXPECT_EQ(sums(8, 500), 8 * 8 * 64 * 500);
  EXPECT_EQ(sums(9, 500), 0);
  EXPECT_EQ(cuda::row_gemm_partials(64, 64 * 263 + 1, kInner), 0);
  EXPECT_EQ(cuda::row_gemm_partials(1, 64, 256), 0);  // there is one cut
}

// Its rows may begin anywhere: columns of a wider matrix.
TEST(RowGemm, WInBf16MayBeginBetweenPacks) {
  const Side side(DeviceType::kCuda, DType::kF32);
  constexpr std::int64_t kInner = 64;
  Array x = side.input(1, 3, kInner);
  HalvedWeights w(side, 5, kInner + 8, 0);
  for (const std::int64_t begin : {0, 1, 4, 8}) {
    Array wanted = side.output(3, 5);
    Array got = side.output(3, 5);
    const auto columns = [&](Array& of) { return of.view().columns(begin, begin + kInner); };
    cuda::row_gemm(side.stream, 1, x.view(), columns(w.wide), 0, wanted.view(), {});
    cuda::row_gemm(side.stream, 1, x.view(), columns(w.narrow), 0, got.view(), {});
    EXPECT_TRUE(got.bytes() == wanted.bytes()) << begin;
  }
}

TEST(RowGemm, OtherTypesAreRefused) {
  const Side side(DeviceType::kCuda, DType::kBf16);
  Array x = side.wide_input(1, 1, 8);
  Array y = side.wide_output(1, 1);
  Array w = side.input(2, 1, 8);
  Array narrow_y = side.output(1, 1);
  Array wide_w(DType::kF64, 1, 8);
  EXPECT_THROW(cuda::row_gemm(side.stream, 1, x.view(), w.view(), 0, narrow_y.view(), {}), Error);
  EXPECT_THROW(cuda::row_gemm(side.stream, 1, x.view(), wide_w.view(), 0, y.view(), {}), Error);
}

}  // namespace
}  // namespace finescale
