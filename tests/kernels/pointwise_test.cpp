// SPDX-License-Identifier: Apache-2.0
// Embedding, rotary positions, SwiGLU.
#include <cmath>

#include "kernels/embedding.h"
#include "kernels/rope.h"
#include "kernels/round.h"
#include "kernels/swiglu.h"
#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

TensorView indices(std::vector<std::int32_t>& values) {
  return {values.data(), DType::kI32, Shape{static_cast<std::int64_t>(values.size())}};
}

std::vector<std::int32_t> random_tokens(std::int64_t count, std::uint64_t vocab) {
  Random random(9, Purpose::kTest);
  std::vector<std::int32_t> tokens;
  for (std::int64_t t = 0; t < count; ++t) {
    tokens.push_back(static_cast<std::int32_t>(random.below(vocab)));
  }
  return tokens;
}

using Embedding = Kernel;

TEST_P(Embedding, ForwardTakesRowsBackwardAddsThem) {
  for (const auto& [count, width] : {std::pair{1, 1}, {40, 7}, {300, 75}, {30, 1100}}) {
    std::vector<std::int32_t> tokens = random_tokens(count, 11);  // every row several times
    Tensor weight(dtype(), 11, width, 3);
    Tensor y(dtype(), count, width, 1);
    Tensor dy(dtype(), count, width, 2);
    Tensor dweight(dtype(), 11, width, 4);
    weight.random(1);
    dy.random(2);
    dweight.random(3);
    const Tensor before = dweight;
    embedding_forward(stream_, indices(tokens), weight.view(), y.view());
    EXPECT_EQ(
        error_of(y,
                 [&](auto t, auto c) { return weight.at(tokens[static_cast<std::size_t>(t)], c); }),
        0);
    embedding_backward(stream_, indices(tokens), dy.view(), dweight.view());
    std::vector<std::int32_t> ids(tokens.size());
    Tensor rows(dtype(), count, width, 1);
    Tensor in_steps = before;
    const std::int64_t found =
        embedding_gather_gradient(stream_, indices(tokens), dy.view(), indices(ids), rows.view());
    ids.resize(static_cast<std::size_t>(found));
    add_rows(stream_, indices(ids), rows.view().row_range(0, found), in_steps.view());
    EXPECT_TRUE(in_steps.bytes() == dweight.bytes());
    EXPECT_LT(error_of(dweight,
                       [&](auto v, auto c) {
                         double sum = before.at(v, c);
                         for (std::size_t t = 0; t < tokens.size(); ++t) {
                           sum += tokens[t] == v ? dy.at(static_cast<std::int64_t>(t), c) : 0;
                         }
                         return sum;
                       }),
              tolerance(dtype()));
    EXPECT_TRUE(y.gaps_untouched() && dweight.gaps_untouched());
  }
}

TEST(EmbeddingOfBf16, GivesItsValues) {
  constexpr std::int64_t kTokens = 30, kRows = 11, kWidth = 75, kStride = 80;
  std::vector<std::int32_t> tokens = random_tokens(kTokens, kRows);
  tokens[4] = kNoRow;
  std::vector<float> table(kRows * kStride);
  for (std::size_t i = 0; i < table.size(); ++i) {
    table[i] = std::sin(static_cast<float>(i) * 0.37F) * 3;
  }
  std::vector<std::uint16_t> half(table.size());
  std::vector<float> rounded(table.size());
  const auto view = [](auto& values, DType dtype) {
    TensorView out(values.data(), dtype, Shape{kRows, kWidth});
    out.row_stride = kStride;
    return out;
  };
  round_to_bf16(Stream(), view(table, DType::kF32), view(half, DType::kBf16));
  round_to_bf16(Stream(), view(table, DType::kF32), view(rounded, DType::kF32));
  std::vector<float> y(kTokens * kWidth, 7), wanted = y;
  const TensorView ids(tokens.data(), DType::kI32, Shape{kTokens});
  embedding_forward(Stream(), ids, view(half, DType::kBf16),
                    TensorView(y.data(), DType::kF32, Shape{kTokens, kWidth}));
  embedding_forward(Stream(), ids, view(rounded, DType::kF32),
                    TensorView(wanted.data(), DType::kF32, Shape{kTokens, kWidth}));
  EXPECT_EQ(y, wanted);
  EXPECT_EQ(y[4 * kWidth], 0);
  EXPECT_NE(y[0], 0);
}

TEST_P(Embedding, RowsOfOtherRanksAreZeroAndGetNothing) {
  std::vector<std::int32_t> tokens = {3, kNoRow, 3, kNoRow, 0};
  Tensor weight(dtype(), 4, 5);
  Tensor y(dtype(), 5, 5);
  weight.random(1);
  embedding_forward(stream_, indices(tokens), weight.view(), y.view());
  EXPECT_EQ(y.at(1, 2), 0);
  EXPECT_EQ(y.at(2, 4), weight.at(3, 4));
  std::vector<std::int32_t> ids(5);
  const Tensor dy = y;
  Tensor dweight(dtype(), 4, 5);
  embedding_backward(stream_, indices(tokens), y.view(), dweight.view());
  EXPECT_EQ(dweight.at(3, 1), dy.at(0, 1) + dy.at(2, 1));
  EXPECT_EQ(dweight.at(0, 1), dy.at(4, 1));
  EXPECT_EQ(dweight.at(1, 1), 0);
  EXPECT_EQ(embedding_gather_gradient(stream_, indices(tokens), y.view(), indices(ids), y.view()),
            2);
  EXPECT_EQ(ids[0], 3);
  EXPECT_EQ(ids[1], 0);
  EXPECT_EQ(y.at(0, 1), dy.at(0, 1) + dy.at(2, 1));
  EXPECT_EQ(y.at(1, 1), dy.at(4, 1));
}

TEST_P(Embedding, ThreadsChangeNoBit) {
  std::vector<std::int32_t> tokens = random_tokens(3000, 37);
  Tensor dy(dtype(), 3000, 67);
  dy.random(1);
  expect_threads_change_nothing([&] {
    Tensor dweight(dtype(), 37, 67);
    Tensor rows = dy;  // in place: the rows take the memory of their input
    std::vector<std::int32_t> ids(tokens.size());
    const std::int64_t found =
        embedding_gather_gradient(stream_, indices(tokens), rows.view(), indices(ids), rows.view());
    ids.resize(static_cast<std::size_t>(found));
    add_rows(stream_, indices(ids), rows.view().row_range(0, found), dweight.view());
    embedding_backward(stream_, indices(tokens), dy.view(), dweight.view());
    return dweight.bytes();
  });
}

FINESCALE_FOR_ALL_TARGETS(Embedding);

using Rope = Kernel;

// Heads of `dim` columns of which the first `turned` are rotated.
TEST_P(Rope, RotatesPairsHalfAWidthApart) {
  for (const auto& [dim, turned] :
       {std::pair{2, 2}, {8, 8}, {16, 16}, {34, 34}, {64, 64}, {10, 4}, {64, 32}}) {
    const int heads = 3;
    Tensor cosine(dtype(), 50, turned / 2);
    Tensor sine(dtype(), 50, turned / 2);
    std::vector<double> frequencies;
    for (int i = 0; i < turned / 2; ++i) {
      frequencies.push_back(std::pow(10000.0, -2.0 * i / turned));
    }
    rope_table(frequencies, cosine.view(), sine.view());
    std::vector<std::int32_t> positions = random_tokens(21, 50);
    Tensor x(dtype(), 21, heads * dim, 5);
    x.random(1);
    const Tensor before = x;
    rope_apply(stream_, x.view(), dim, indices(positions), cosine.view(), sine.view(), false);
    const std::int64_t width = dim;
    const std::int64_t half = turned / 2;
    const auto rotated = [&](std::int64_t t, std::int64_t c) {
      const std::int64_t head = c / width * width;
      const std::int64_t i = c % width;
      if (i >= 2 * half) {
        return before.at(t, c);
      }
      const std::int64_t pair = i % half;
      const double angle =
          positions[static_cast<std::size_t>(t)] * frequencies[static_cast<std::size_t>(pair)];
      const double a = before.at(t, head + pair);
      const double b = before.at(t, head + pair + half);
      return i < half ? a * std::cos(angle) - b * std::sin(angle)
                      : b * std::cos(angle) + a * std::sin(angle);
    };
    EXPECT_LT(error_of(x, rotated), tolerance(dtype()));
    EXPECT_TRUE(x.gaps_untouched());
    // A rotation's gradient is the rotation back.
    rope_apply(stream_, x.view(), dim, indices(positions), cosine.view(), sine.view(), true);
    EXPECT_LT(error_of(x, [&](auto t, auto c) { return before.at(t, c); }), tolerance(dtype()));
  }
}

FINESCALE_FOR_ALL_TARGETS(Rope);

using Swiglu = Kernel;

TEST_P(Swiglu, ForwardIsTheFormula) {
  for (const auto& [rows, width] : {std::pair{1, 1}, {5, 7}, {33, 75}, {3, 130}}) {
    Tensor x(dtype(), rows, 2 * width, 3);
    Tensor y(dtype(), rows, width, 1);
    x.random(1, 4);  // far into both tails of the sigmoid
    const std::int64_t f = width;
    swiglu_forward(stream_, x.view(), y.view());
    EXPECT_LT(error_of(y,
                       [&](auto t, auto c) {
                         return x.at(t, c) / (1 + std::exp(-x.at(t, c))) * x.at(t, c + f);
                       }),
              tolerance(dtype()));
    EXPECT_TRUE(y.gaps_untouched());
  }
}

// Where exp(-g) is beyond the numbers of f32.
TEST_P(Swiglu, GatesFarFromZeroAreClosedOrOpen) {
  const int width = 20;
  Tensor x(dtype(), 2, 2 * width);
  for (int c = 0; c < width; ++c) {
    x.set(0, c, -90 - 10 * c);
    x.set(1, c, 90 + 10 * c);
    x.set(0, width + c, 1);
    x.set(1, width + c, 1);
  }
  Tensor y(dtype(), 2, width);
  swiglu_forward(stream_, x.view(), y.view());
  for (int c = 0; c < width; ++c) {
    EXPECT_LT(std::abs(y.at(0, c)), 1e-35);
    EXPECT_EQ(y.at(1, c), x.at(1, c));
  }
}

TEST_P(Swiglu, BackwardIsTheGradientAlsoInPlace) {
  for (const auto& [rows, width] : {std::pair{1, 1}, {4, 7}, {3, 19}}) {
    Tensor x(dtype(), rows, 2 * width, 2);
    Tensor dy(dtype(), rows, width, 1);
    Tensor y(dtype(), rows, width);
    Tensor again(dtype(), rows, width);
    x.random(1, 2);
    dy.random(2);
    Tensor dx(dtype(), rows, 2 * width, 3);
    swiglu_forward(stream_, x.view(), y.view());
    swiglu_backward(stream_, dy.view(), x.view(), dx.view(), again.view());
    EXPECT_LT(error_of(again, [&](auto t, auto c) { return y.at(t, c); }), tolerance(dtype()));
    Tensor in_place = x;
    swiglu_backward(stream_, dy.view(), in_place.view(), in_place.view(), {});
    EXPECT_EQ(error_of(in_place, [&](auto t, auto c) { return dx.at(t, c); }), 0);
    if (is_f64()) {
      const auto loss = [&] {
        swiglu_forward(stream_, x.view(), y.view());
        return dot(dy, y);
      };
      EXPECT_LT(difference_error(x, dx, loss), 1e-6);
    }
  }
}

TEST_P(Swiglu, LargeInputsStayFinite) {
  Tensor x(dtype(), 1, 8);
  for (int c = 0; c < 4; ++c) {
    x.set(0, c, c % 2 == 0 ? 1e4 : -1e4);
    x.set(0, c + 4, 1);
  }
  Tensor y(dtype(), 1, 4);
  swiglu_forward(stream_, x.view(), y.view());
  EXPECT_EQ(y.at(0), 1e4);
  EXPECT_LT(std::abs(y.at(1)), 1e-30);
}

FINESCALE_FOR_ALL_TARGETS(Swiglu);

}  // namespace
}  // namespace finescale
