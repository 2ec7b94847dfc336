// SPDX-License-Identifier: Apache-2.0
// Operations whose CUDA twins give the same bits as the CPU's.
#include <cmath>
#include <cstring>
#include <functional>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"
#include "kernels/cuda/adamw.h"
#include "kernels/cuda/bias.h"
#include "kernels/cuda/cross_entropy.h"
#include "kernels/cuda/embedding.h"
#include "kernels/cuda/layernorm.h"
#include "kernels/cuda/packed_moments.h"
#include "kernels/cuda/quantised.h"
#include "kernels/cuda/quick_division.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/rmsnorm.h"
#include "kernels/cuda/rounding.h"
#include "kernels/round.h"
#include "tests/cuda_emulation/cases.h"
#include "tests/cuda_emulation/include/cuda_runtime.h"
#include "tests/kernels/stored_matrix.h"

namespace finescale {
namespace {

class SameBits : public testing::TestWithParam<DType> {
 protected:
  const Side side_{DeviceType::kCuda, GetParam()};  // both runs use the tested type
  const Stream cpu_;
  const Stream& gpu_ = side_.stream;
};

TEST_P(SameBits, AdamW) {
  for (const std::int64_t count : {1, 75, 256, 1000}) {
    Array w = side_.input(1, 1, count);
    Array g = side_.input(2, 1, count, 0, 0.1);
    Array m = side_.output(1, count);
    Array v = side_.output(1, count);
    Array w2 = w;
    Array m2 = m;
    Array v2 = v;
    for (int step = 1; step <= 3; ++step) {
      AdamwStep settings{
          .learning_rate = 0.01, .weight_decay = 0.1, .step = step, .gradient_scale = 0.7};
      const PlacedFactors placed(GetParam(), settings);
      settings.factors = placed.data();
      adamw_update(cpu_, settings, w.vector(), g.vector(), m.vector(), v.vector());
      cuda::adamw_update(gpu_, settings, w2.vector(), g.vector(), m2.vector(), v2.vector());
    }
    EXPECT_TRUE(w2.bytes() == w.bytes());
    EXPECT_TRUE(m2.bytes() == m.bytes());
    EXPECT_TRUE(v2.bytes() == v.bytes());
  }
}

struct PackedRange {
  MomentCode code;
  std::int64_t count, phase;
  double beta1 = 0.9;
  double beta2 = 0.999;
};
// Three steps of both sides from moments of zeros; gradient(step) [1, count].
template <class Gradient>
void expect_same_packed_steps(const Side& side, const PackedRange& range,
                              const Gradient& gradient) {
  struct Moments {
    std::vector<std::byte> m, v;
    std::vector<float> m_scales, v_scales;
    bool operator==(const Moments&) const = default;
  };
  const auto count = static_cast<std::size_t>(range.count);
  const std::size_t bytes = range.code == MomentCode::kInt8 ? count : 2 * count;
  const auto blocks = (static_cast<std::size_t>(range.phase) + count + 255) / 256;
  Moments ours{std::vector<std::byte>(bytes), std::vector<std::byte>(bytes),
               std::vector<float>(blocks), std::vector<float>(blocks)};
  Moments theirs = ours;
  const auto packed = [&](Moments& of) {
    return PackedMoments{.code = range.code,
                         .m = of.m.data(),
                         .v = of.v.data(),
                         .m_scales = of.m_scales.data(),
                         .v_scales = of.v_scales.data(),
                         .phase = range.phase,
                         .first_element = 5};
  };
  Array w = side.input(1, 1, range.count);
  Array w2 = w;
  for (int step = 1; step <= 3; ++step) {
    Array g = gradient(step);
    AdamwStep settings{.learning_rate = 0.01,
                       .beta1 = range.beta1,
                       .beta2 = range.beta2,
                       .weight_decay = 0.1,
                       .step = step,
                       .rounding_key = 7U + static_cast<std::uint32_t>(step)};
    const PlacedFactors placed(side.storage(), settings);
    settings.factors = placed.data();
    adamw_update_packed(Stream(), settings, w.vector(), g.vector(), packed(theirs));
    cuda::adamw_update_packed(side.stream, settings, w2.vector(), g.vector(), packed(ours));
  }
  EXPECT_TRUE(w2.bytes() == w.bytes());
  EXPECT_TRUE(ours == theirs);
}

// With moments in bf16, the second rounded at random, and in one byte, where a range may begin
// inside a block, on a pack and between packs.
TEST_P(SameBits, AdamWWithPackedMoments) {
  for (const std::int64_t count : {1, 75, 1000, 3001}) {
    const auto gradient = [&](int step) {
      return side_.input(static_cast<std::uint64_t>(step) + 1, 1, count, 0, 0.1);
    };
    expect_same_packed_steps(side_, {MomentCode::kBf16, count, 0}, gradient);
    for (const std::int64_t phase : {0, 70, 192, 255}) {
      SCOPED_TRACE(testing::Message() << count << " behind " << phase);
      expect_same_packed_steps(side_, {MomentCode::kInt8, count, phase}, gradient);
    }
  }
}

// A block each of gradients so small or so large that quotients and roots are not the quick ones,
// of zeros, and of everything side by side.
TEST_P(SameBits, AdamWWithMomentsOfEveryMagnitude) {
  const std::vector<double> sizes{1e-15, 1e-12, 1e-9, 1e-3, 1, 1e7, 1e12, 0, -0.0};
  const auto count = static_cast<std::int64_t>(sizes.size() + 1) * kMomentBlock;
  expect_same_packed_steps(side_, {MomentCode::kInt8, count, 0}, [&](int step) {
    Array g = side_.input(static_cast<std::uint64_t>(step) + 1, 1, count);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto block = static_cast<std::size_t>(i / kMomentBlock);
      const std::size_t own = block < sizes.size() ? block : static_cast<std::size_t>(i / 3 % 9);
      g.set(0, i, g.at(0, i) * sizes[own]);
    }
    return g;
  });
}

// Parts of the largest that lie in the middle between two codes, and beside it: m = g / 2 and
// sqrt(v) = |g| / 2 behind the first step, exactly.
TEST_P(SameBits, AdamWWithMomentsBetweenTwoCodes) {
  constexpr int kParts = 32;  // of a power of two, which has 8 codes of m and 16 of v
  expect_same_packed_steps(
      side_, {MomentCode::kInt8, 3 * kMomentBlock, 0, 0.5, 0.75}, [&](int /*step*/) {
        Array g = side_.input(1, 1, 3 * kMomentBlock);
        for (std::int64_t i = 0; i < g.cols(); ++i) {
          const auto own = static_cast<int>(i % kMomentBlock);
          const double part = own == 0 ? 1
                                       : std::ldexp(1 + static_cast<double>(own % kParts) / kParts,
                                                    -1 - own / kParts);
          const auto beside = static_cast<double>(i / kMomentBlock - 1) * 0x1p-23;
          g.set(0, i, part * (own == 0 ? 1 : 1 + beside) * (own % 2 == 0 ? 1 : -1));
        }
        return g;
      });
}

// Half of them numerators for which numerator / divisor lies as near as can be to the middle
// between two floats: numerator * 2^25 = divisor * middle + 1, all whole, the middle of 25 bits.
TEST(QuickDivision, HasTheBitsOfDivision) {
  const auto expect_same = [](float numerator, float divisor) {
    ASSERT_EQ(cuda::Divisor(divisor).divides(numerator), numerator / divisor)
        << numerator << " / " << divisor;
  };
  Random numbers(1, Purpose::kTest);
  std::int64_t num_hard = 0;
  for (std::int64_t i = 0; i < 200000; ++i) {
    const auto size = static_cast<int>(i % 100) - 50;
    const auto numerator = static_cast<float>(std::ldexp(numbers.normal(), size));
    const auto divisor = static_cast<float>(std::ldexp(1 + numbers.uniform(), size / 2));
    expect_same(numerator, divisor);
    const auto whole = static_cast<std::uint64_t>(std::ldexp(divisor, 23 - size / 2)) | 1U;
    std::uint64_t inverse = whole;  // modulo 2^64 after five steps of Newton's
    for (int step = 0; step < 5; ++step) {
      inverse *= 2 - whole * inverse;
    }
    const std::uint64_t middle = (std::uint64_t{0} - inverse) & 0x1FFFFFFU;
    const std::uint64_t product = whole * middle + 1;
    const std::uint64_t hard = product >> 25;
    if (hard >= 1U << 23 && product == hard << 25) {
      ++num_hard;
      expect_same(static_cast<float>(hard), static_cast<float>(whole));
    }
  }
  EXPECT_GT(num_hard, 50000);
  EXPECT_TRUE(std::signbit(cuda::Divisor(3).divides(-0.0F)));
  EXPECT_FALSE(std::signbit(cuda::Divisor(3).divides(0.0F)));
}

TEST(QuickDivision, HasTheBitsOfRoots) {
  Random numbers(1, Purpose::kTest);
  for (std::int64_t i = 0; i < 400000; ++i) {
    const auto x =
        static_cast<float>(std::ldexp(1 + numbers.uniform(), static_cast<int>(i % 226) - 100));
    ASSERT_EQ(cuda::quick_root(x), std::sqrt(x)) << x;
  }
  EXPECT_EQ(cuda::quick_root(0), 0);
}

TEST_P(SameBits, BiasAdd) {
  Array bias = side_.input(1, 1, 75);
  Array y = side_.input(2, 9, 75, 3);
  Array y2 = y;
  bias_add(cpu_, bias.vector(), y.view());
  cuda::bias_add(gpu_, bias.vector(), y2.view());
  EXPECT_TRUE(y2.bytes() == y.bytes());
}

// vocabulary: one token in nine is another rank's, one in three the commonest.
void expect_same_gradient(const Side& side, std::int64_t count, std::int64_t vocabulary,
                          std::int64_t cols) {
  SCOPED_TRACE(testing::Message() << count << " of " << vocabulary << ", " << cols << " columns");
  Array tokens(DType::kI32, 1, count);
  for (std::int64_t t = 0; t < count; ++t) {
    const std::int64_t token = t % 3 == 1 ? vocabulary / 2 : (t * 7919 + t / 3) % vocabulary;
    tokens.set(0, t, static_cast<double>(t % 9 == 4 ? kNoRow : token));
  }
  Array dy = side.input(1, count, cols, 4);
  Array to = side.input(2, vocabulary, cols, 4);
  Array to2 = to;
  Array order(DType::kI32, 4, count);
  embedding_backward(Stream(), tokens.vector(), dy.view(), to.view());
  cuda::embedding_backward(side.stream, tokens.vector(), dy.view(), order.view(), to2.view());
  EXPECT_TRUE(to2.bytes() == to.bytes());
}

TEST_P(SameBits, EmbeddingBackward) {
  for (const std::int64_t cols : {1, 75, 1000}) {
    expect_same_gradient(side_, 300, 31, cols);
  }
}

// Runs that end inside, at and behind windows of 32 places and the 16 rows that are read at once;
// tokens in one tile of 256, in several that are merged once, and twice.
TEST_P(SameBits, EmbeddingBackwardOfEveryLength) {
  using cuda::emulation::Order;
  for (const std::int64_t count :
       {1, 2, 31, 32, 33, 64, 95, 96, 97, 255, 256, 257, 512, 4096, 4097}) {
    for (const std::int64_t vocabulary : {std::int64_t{1}, std::int64_t{7}, 3 * count}) {
      expect_same_gradient(side_, count, vocabulary, 4);
    }
  }
  for (const Order order : {Order::kReverse, Order::kRandom}) {
    cuda::emulation::set_order(order, 3);
    expect_same_gradient(side_, 9000, 300, 3);
  }
  cuda::emulation::set_order(Order::kForward);
}

TEST_P(SameBits, NormOfEveryBlock) {
  for (const std::int64_t count : {1, 75, 256, 1000, 3001}) {
    Array x = side_.input(1, 1, count);
    ExactSum wanted;
    squared_norm_blocks(cpu_, x.vector(), wanted);
    Array sums(DType::kF64, 1, (count + kNormBlock - 1) / kNormBlock);
    cuda::squared_norm_blocks(gpu_, x.vector(), sums.vector());
    ExactSum got;
    for (std::int64_t block = 0; block < sums.cols(); ++block) {
      got.add(sums.at(0, block));
    }
    EXPECT_EQ(got.words(), wanted.words());
  }
}

INSTANTIATE_TEST_SUITE_P(Types, SameBits, testing::Values(DType::kF32, DType::kF64),
                         [](const auto& one) { return std::string(dtype_name(one.param)); });

// Who makes an operand of products rounds what a pass of its own would have rounded.
TEST(RoundedOutputs, OfNormsHaveTheBitsOfRoundingAfterwards) {
  const Side side(DeviceType::kCuda, DType::kBf16);
  for (const std::int64_t cols : {1, 75, 1000, 3001}) {
    Array x = side.wide_input(1, 3, cols, 5);
    Array weight = side.wide_input(2, 1, cols);
    Array bias = side.wide_input(3, 1, cols);
    Array statistics = side.wide_output(3, 2);
    const auto expect_same = [&](const auto& norm) {
      Array wide = side.wide_output(3, cols, 1);
      Array wanted = side.output(3, cols, 7);
      Array got = side.output(3, cols, 7);
      norm(wide.view());
      cuda::round_to_bf16(side.stream, wide.view(), wanted.view());
      norm(got.view());
      EXPECT_TRUE(got.bytes() == wanted.bytes()) << cols;
    };
    expect_same([&](const TensorView& y) {
      cuda::rmsnorm_forward(side.stream, x.view(), {}, weight.vector(), 1e-5, y,
                            statistics.vector());
    });
    expect_same([&](const TensorView& y) {
      cuda::layernorm_forward(side.stream, x.view(), {}, weight.vector(), bias.vector(), 1e-5, y,
                              statistics.view());
    });
  }
}

// Values of a base of few bits are those that the CPU multiplies by, whatever the cut.
TEST(Dequantise, HasTheBitsOfTheCpu) {
  const Side side(DeviceType::kCuda, DType::kF32);
  for (const QuantFormat format : kQuantFormats) {
    for (const bool doubles : {false, true}) {
      Array values = side.input(1, 5, 600);
      const StoredMatrix stored(format, values.view(), doubles, 150, 590);
      for (const std::int64_t column : {0, 2, 3}) {
        Array wanted(DType::kF32, 4, 437);
        Array got(DType::kF32, 4, 437);
        Array rounded(DType::kBf16, 4, 437, 3);
        Array wanted_rounded(DType::kBf16, 4, 437, 3);
        dequantise(Stream(), stored.matrix, 1, column, wanted.view());
        cuda::dequantise(side.stream, stored.matrix, 1, column, got.view());
        cuda::dequantise(side.stream, stored.matrix, 1, column, rounded.view());
        EXPECT_TRUE(got.bytes() == wanted.bytes());
        round_to_bf16(Stream(), wanted.view(), wanted_rounded.view());
        EXPECT_TRUE(rounded.bytes() == wanted_rounded.bytes());
      }
    }
  }
}

// Rows of logits with the gradient in their first half: what is written lies on logits that other
// threads must have read.
class RoundedGradients : public testing::TestWithParam<std::int64_t> {
 protected:
  using Run = std::function<void(const TensorView& logits, const TensorView& gradient)>;
  void TearDown() override { cuda::emulation::set_order(cuda::emulation::Order::kForward); }
  [[nodiscard]] Array logits(std::int64_t gap) const {
    return side_.wide_input(1, rows_, GetParam(), gap, 4);
  }
  static TensorView first_halves(Array& logits) {
    TensorView view = logits.view();
    view.dtype = DType::kBf16;
    view.row_stride *= 2;
    return view;
  }
  // In packs, and one element at a time; in place, and in memory of its own.
  void expect_roundings(const Run& run) const {
    using cuda::emulation::Order;
    const std::int64_t padding = (GetParam() + 3) / 4 * 4 - GetParam();
    for (const std::int64_t gap : {padding, padding + 1}) {
      Array wide = logits(gap);
      Array wanted = side_.output(rows_, GetParam(), 1);
      run(wide.view(), wide.view());
      cuda::round_to_bf16(side_.stream, wide.view(), wanted.view());
      for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
        cuda::emulation::set_order(order, 5);
        Array in_place = logits(gap);
        run(in_place.view(), first_halves(in_place));
        Array got = side_.output(rows_, GetParam(), 1);
        for (std::int64_t r = 0; r < rows_; ++r) {
          std::memcpy(got.view().row_range(r, r + 1).data,
                      first_halves(in_place).row_range(r, r + 1).data,
                      static_cast<std::size_t>(GetParam()) * dtype_size(DType::kBf16));
        }
        EXPECT_TRUE(got.bytes() == wanted.bytes()) << gap;
        EXPECT_TRUE(in_place.gaps_untouched());
        Array from = logits(gap);
        Array apart = side_.output(rows_, GetParam(), gap);  // in packs where the logits are
        run(from.view(), apart.view());
        for (std::int64_t r = 0; r < rows_; ++r) {
          for (std::int64_t c = 0; c < GetParam(); ++c) {
            ASSERT_EQ(apart.at(r, c), wanted.at(r, c)) << gap;
          }
        }
        EXPECT_TRUE(from.bytes() == logits(gap).bytes());
      }
    }
  }

  const std::int64_t rows_ = 2;
  const Side side_{DeviceType::kCuda, DType::kBf16};
};

TEST_P(RoundedGradients, OfLogits) {
  Array labels(DType::kI32, 1, rows_);
  Array weights = side_.wide_input(2, 1, rows_);
  Array losses = side_.wide_output(1, rows_);
  labels.set(0, 1, static_cast<double>(GetParam() - 1));
  expect_roundings([&](const TensorView& logits, const TensorView& gradient) {
    cuda::cross_entropy_in_place(side_.stream, logits, labels.vector(), weights.vector(), 0.3,
                                 losses.vector(), gradient);
  });
}

TEST_P(RoundedGradients, OfLogitsOfAPartOfTheVocabulary) {
  Array labels(DType::kI32, 1, rows_);
  Array weights = side_.wide_input(2, 1, rows_);
  Array losses = side_.wide_output(1, rows_);
  Array whole = side_.wide_output(rows_, 3);
  labels.set(0, 0, static_cast<double>(GetParam()));  // another rank's
  for (std::int64_t r = 0; r < rows_; ++r) {
    whole.set(r, 0, 15);
    whole.set(r, 1, 30);
  }
  expect_roundings([&](const TensorView& logits, const TensorView& gradient) {
    cuda::cross_entropy_finish(side_.stream, logits, labels.vector(), weights.vector(), 0.3, {},
                               whole.view(), losses.vector(), gradient);
  });
}

// One thread and one step; several; what is held in registers, kept in shared memory, read again,
// and read again behind a barrier (the emulated GPU keeps 57,344).
INSTANTIATE_TEST_SUITE_P(Widths, RoundedGradients,
                         testing::Values(1, 75, 1000, 3001, 9001, 40000, 70002, 130001));

TEST(CrossEntropy, ALogitThatIsNotFiniteShowsInTheLoss) {
  const Side side(DeviceType::kCuda, DType::kF32);
  for (const std::int64_t cols : {75, 9001}) {
    for (const double logit : {static_cast<double>(NAN), static_cast<double>(INFINITY),
                               -static_cast<double>(INFINITY)}) {
      Array logits = side.input(1, 1, cols);
      Array labels(DType::kI32, 1, 1);
      Array losses = side.output(1, 1);
      logits.set(0, cols - 1, logit);
      cuda::cross_entropy_in_place(side.stream, logits.view(), labels.vector(), {}, 1,
                                   losses.vector(), logits.view());
      if (logit < 0) {  // of no probability
        EXPECT_TRUE(std::isfinite(losses.at(0, 0)));
        EXPECT_EQ(logits.at(0, cols - 1), 0);
      } else {
        EXPECT_TRUE(std::isnan(losses.at(0, 0)));
      }
    }
  }
}

TEST(EmbeddingForward, ATokenOutsideTheVocabularyGivesNaN) {
  const Side side(DeviceType::kCuda, DType::kF32);
  Array tokens(DType::kI32, 1, 2);
  tokens.set(0, 0, 3);
  tokens.set(0, 1, kNoRow);
  Array weight = side.input(1, 3, 4);
  Array y = side.input(2, 2, 4);
  cuda::embedding_forward(side.stream, tokens.vector(), weight.view(), y.view());
  EXPECT_TRUE(std::isnan(y.at(0, 0)));
  EXPECT_EQ(y.at(1, 3), 0);
}

TEST(EmbeddingForward, OtherTypesAreRefused) {
  const Side side(DeviceType::kCuda, DType::kBf16);
  Array tokens(DType::kI32, 1, 1);
  Array weight = side.wide_input(1, 1, 8);
  Array y = side.output(1, 8);
  EXPECT_THROW(cuda::embedding_forward(side.stream, tokens.vector(), weight.view(), y.view()),
               Error);
}

}  // namespace
}  // namespace finescale
