// SPDX-License-Identifier: Apache-2.0
// The norm that a GPU finds by itself and what clips by it: the bits of the host.
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "core/exact_sum.h"
#include "core/random.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/exact_words.h"
#include "kernels/cuda/reduce.h"
#include "tests/cuda_emulation/cases.h"

namespace finescale {
namespace {

using Words = std::vector<std::int64_t, DeviceAllocator<std::int64_t>>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

const Stream& gpu() {
  static const Stream stream(DeviceType::kCuda);
  return stream;
}

TensorView view_of(Words& words) {
  return {words.data(), DType::kF64,
          Shape{std::ssize(words) / ExactSum::kNumWords, std::int64_t{ExactSum::kNumWords}}};
}

// The norm of what the words stand for, found on the GPU.
double root_of(const ExactSum::Words& words) {
  Words placed(words.begin(), words.end());
  std::vector<double, DeviceAllocator<double>> norm(1);
  cuda::root_of_words(gpu(), view_of(placed), TensorView(norm.data(), DType::kF64, Shape{1}));
  return norm[0];
}

void expect_same(double got, double wanted) {
  EXPECT_EQ(std::isnan(got), std::isnan(wanted));
  if (!std::isnan(wanted)) {
    EXPECT_EQ(got, wanted);
  }
}

ExactSum sum_of(const std::vector<double>& values) {
  ExactSum sum;
  for (const double value : values) {
    sum.add(value);
  }
  return sum;
}

TEST(RootOfWords, RoundsAsTheHostDoes) {
  constexpr double kHalf = 0x1p-53;  // of a unit in the last place of 1
  for (const std::vector<double>& values : std::vector<std::vector<double>>{
           {},
           {1},
           {1, kHalf},                            // a tie: to the even one below
           {1, 0x1p-52, kHalf},                   // and above
           {1, kHalf, 0x1p-1000},                 // no tie, by a bit far below
           {1, kHalf, -0x1p-80},                  // nor from below
           {2 - 0x1p-52, kHalf},                  // a carry into the exponent
           {0x1p-1074},                           // the least of all
           {0x1p-1074, 0x1p-1023},                // denormal
           {0x1.fffffffffffffp-1023, 0x1p-1074},  // and no more
           {0x1p-1022, 0x1p-1074},
           {0x1.fffffffffffffp1023},
           {0x1.fffffffffffffp1023, 0x1p969},  // less than half a unit too large
           {0x1.fffffffffffffp1023, 0x1p970},  // half: above all
           {0x1.fffffffffffffp1023, 0x1.8p1023},
           {1, kInfinity},
           {kInfinity, kNan},
           {kNan}}) {
    const ExactSum sum = sum_of(values);
    expect_same(root_of(sum.words()), std::sqrt(sum.value()));
  }
}

TEST(RootOfWords, OfRandomSumsHasTheBitsOfTheHost) {
  Random numbers(1, Purpose::kTest);
  for (int round = 0; round < 3000; ++round) {
    ExactSum sum;
    const double centre = static_cast<double>(numbers.below(1900)) - 1000;
    const auto count = 1 + numbers.below(6);
    ExactSum::Words carried{};  // limbs of two sums, added: not in [0, 2^32)
    for (std::uint64_t i = 0; i < count; ++i) {
      const double spread = static_cast<double>(numbers.below(120));
      const double value =
          std::abs(std::ldexp(numbers.normal(), static_cast<int>(centre - spread)));
      sum.add(value);
      const ExactSum::Words one = sum_of({value}).words();
      for (std::size_t w = 0; w < one.size(); ++w) {
        carried[w] += one[w];
      }
    }
    ASSERT_EQ(root_of(carried), std::sqrt(sum.value())) << "round " << round;
  }
}

class SquaresOnTheGpu : public testing::TestWithParam<DType> {};

// Several pieces, also shorter than a block, in one row and in many.
TEST_P(SquaresOnTheGpu, AreThoseOfTheHost) {
  const Side side(DeviceType::kCuda, GetParam());
  for (const std::int64_t rows : {1, 3, 20}) {
    Words words(static_cast<std::size_t>(rows * ExactSum::kNumWords));
    Words total(ExactSum::kNumWords, -1);
    ExactSum wanted;
    for (const std::int64_t count : {1, 75, 256, 3001, 2 * 4096 * 256 + 300}) {
      Array x = side.input(static_cast<std::uint64_t>(count), 1, count, 0, 1e-3);
      squared_norm_blocks(Stream(), x.vector(), wanted);
      Array sums(DType::kF64, 1, (count + kNormBlock - 1) / kNormBlock);
      cuda::squared_norm_blocks(gpu(), x.vector(), sums.vector());
      cuda::exact_words(gpu(), sums.vector(), view_of(words));
    }
    cuda::sum_words(gpu(), view_of(words), view_of(total));
    ExactSum::Words got{};
    std::copy(total.begin(), total.end(), got.begin());
    EXPECT_EQ(ExactSum::from_words(got).words(), wanted.words());
  }
}

INSTANTIATE_TEST_SUITE_P(Types, SquaresOnTheGpu, testing::Values(DType::kF32, DType::kF64),
                         [](const auto& one) { return std::string(dtype_name(one.param)); });

template <class T>
void expect_scales(double norm, double max_norm) {
  constexpr std::int64_t kRows = 300;
  const StepFactors<T> before{T(0.25), T(0.5), T(-0.125), T(3), 17};
  std::vector<StepFactors<T>, DeviceAllocator<StepFactors<T>>> rows(kRows + 1, before);
  std::vector<double, DeviceAllocator<double>> placed(1, norm);
  cuda::clip_factors(gpu(), TensorView(placed.data(), DType::kF64, Shape{1}), max_norm,
                     sizeof(T) == 8 ? DType::kF64 : DType::kF32, rows.data(), kRows);
  const double scale = max_norm > 0 && norm > max_norm ? max_norm / norm : 1;
  for (std::int64_t i = 0; i <= kRows; ++i) {
    const StepFactors<T>& row = rows[static_cast<std::size_t>(i)];
    expect_same(row.scale, i == kRows            ? before.scale
                           : std::isfinite(norm) ? static_cast<T>(scale)
                                                 : static_cast<T>(kNan));
    EXPECT_EQ(row.keep, before.keep);
    EXPECT_EQ(row.rate, before.rate);
    EXPECT_EQ(row.root, before.root);
    EXPECT_EQ(row.rounding_key, before.rounding_key);
  }
}

TEST(ClipFactors, AreThoseOfTheHostAndNoneWithoutANorm) {
  for (const double max_norm : {0.0, 1.0, 0.3}) {
    for (const double norm : {0.0, 0.3, 0.7, 1.0, 1 + 0x1p-52, 3.7, 1e300, kInfinity, kNan}) {
      expect_scales<float>(norm, max_norm);
      expect_scales<double>(norm, max_norm);
    }
  }
}

}  // namespace
}  // namespace finescale
