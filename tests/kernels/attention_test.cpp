// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using Attention = Kernel;

struct AttentionCase {
  int heads, kv_heads, dim;
  std::vector<std::int32_t> lengths;
  int window = 0;
};

const std::vector<AttentionCase>& attention_cases() {
  static const std::vector<AttentionCase> all = {{1, 1, 8, {1}},
                                                 {4, 4, 16, {5, 1, 19, 8}},
                                                 {4, 2, 32, {33, 2, 70}},
                                                 {6, 1, 24, {17, 64, 65}},
                                                 {2, 2, 64, {200, 3}},
                                                 {1, 1, 8, {40}, 1},
                                                 {4, 2, 16, {5, 1, 90, 8}, 7},
                                                 {2, 2, 32, {200, 3}, 33},
                                                 // a query less, as many and more than tiles have
                                                 {3, 1, 20, {15, 16, 17, 31, 32, 33, 49}},
                                                 {2, 1, 20, {31, 33, 50}, 5}};
  return all;
}

// q, k, v as columns of one matrix, as the model has them.
struct Inputs {
  Inputs(DType dtype, const AttentionCase& c)
      : tokens(0),
        shape{.num_heads = c.heads,
              .num_kv_heads = c.kv_heads,
              .head_dim = c.dim,
              .scale = 1 / std::sqrt(c.dim),
              .window = c.window},
        segments{0},
        qkv(dtype, total(c), std::int64_t{c.heads + 2 * c.kv_heads} * c.dim, 3) {
    for (const std::int32_t length : c.lengths) {
      segments.push_back(segments.back() + length);
    }
    tokens = segments.back();
    qkv.random(1);
  }
  static std::int64_t total(const AttentionCase& c) {
    std::int64_t sum = 0;
    for (const std::int32_t length : c.lengths) {
      sum += length;
    }
    return sum;
  }
  [[nodiscard]] std::int64_t q_cols() const {
    return std::int64_t{shape.num_heads} * shape.head_dim;
  }
  [[nodiscard]] std::int64_t k_cols() const {
    return std::int64_t{shape.num_kv_heads} * shape.head_dim;
  }
  static TensorView part(Tensor& all, std::int64_t begin, std::int64_t end) {
    return all.view().columns(begin, end);
  }
  [[nodiscard]] TensorView q(Tensor& all) const { return part(all, 0, q_cols()); }
  [[nodiscard]] TensorView k(Tensor& all) const { return part(all, q_cols(), q_cols() + k_cols()); }
  [[nodiscard]] TensorView v(Tensor& all) const {
    return part(all, q_cols() + k_cols(), q_cols() + 2 * k_cols());
  }
  void forward(const Stream& stream, Tensor& out, Tensor& lse) {
    attention_forward(stream, shape, q(qkv), k(qkv), v(qkv), segments, out.view(), lse.view());
  }

  // Softmax row of token t and head h over what it sees, and where that begins.
  [[nodiscard]] std::vector<double> softmax(std::int64_t t, int h, std::int64_t* begin,
                                            double* lse) const {
    const int group = h / (shape.num_heads / shape.num_kv_heads);
    std::size_t s = 0;
    while (segments[s + 1] <= t) {
      ++s;
    }
    *begin = segments[s];
    if (shape.window > 0) {
      *begin = std::max<std::int64_t>(*begin, t - shape.window + 1);
    }
    std::vector<double> row;
    double largest = -INFINITY;
    for (std::int64_t j = *begin; j <= t; ++j) {
      double score = 0;
      for (int d = 0; d < shape.head_dim; ++d) {
        score += qkv.at(t, std::int64_t{h} * shape.head_dim + d) *
                 qkv.at(j, q_cols() + std::int64_t{group} * shape.head_dim + d);
      }
      row.push_back(score * shape.scale);
      largest = std::max(largest, row.back());
    }
    double sum = 0;
    for (double& value : row) {
      value = std::exp(value - largest);
      sum += value;
    }
    for (double& value : row) {
      value /= sum;
    }
    *lse = std::log(sum) + largest;
    return row;
  }

  std::int64_t tokens;
  AttentionShape shape;
  std::vector<std::int32_t> segments;
  Tensor qkv;
};

TEST_P(Attention, ForwardIsTheFormula) {
  for (const AttentionCase& c : attention_cases()) {
    Inputs in(dtype(), c);
    Tensor out(dtype(), in.tokens, in.q_cols(), 2);
    Tensor lse(dtype(), in.tokens, in.shape.num_heads);
    in.forward(stream_, out, lse);
    const int dim = in.shape.head_dim;
    const int group_size = in.shape.num_heads / in.shape.num_kv_heads;
    EXPECT_LT(error_of(out,
                       [&](auto t, auto col) {
                         const int h = static_cast<int>(col) / dim;
                         std::int64_t begin = 0;
                         double unused = 0;
                         const std::vector<double> p = in.softmax(t, h, &begin, &unused);
                         double sum = 0;
                         for (std::size_t j = 0; j < p.size(); ++j) {
                           sum +=
                               p[j] * in.qkv.at(begin + static_cast<std::int64_t>(j),
                                                in.q_cols() + in.k_cols() +
                                                    std::int64_t{h / group_size} * dim + col % dim);
                         }
                         return sum;
                       }),
              tolerance(dtype()));
    EXPECT_LT(error_of(lse,
                       [&](auto t, auto h) {
                         std::int64_t begin = 0;
                         double value = 0;
                         (void)in.softmax(t, static_cast<int>(h), &begin, &value);
                         return value;
                       }),
              tolerance(dtype()));
    EXPECT_TRUE(out.gaps_untouched());
  }
}

TEST_P(Attention, BackwardIsTheGradient) {
  if (!is_f64()) {
    GTEST_SKIP() << "differences need double precision";
  }
  for (const AttentionCase& c :
       {AttentionCase{1, 1, 8, {1}}, AttentionCase{4, 4, 4, {5, 1, 9}},
        AttentionCase{4, 2, 6, {11, 2}}, AttentionCase{3, 1, 10, {7, 13}}}) {
    Inputs in(dtype(), c);
    Tensor out(dtype(), in.tokens, in.q_cols());
    Tensor lse(dtype(), in.tokens, in.shape.num_heads);
    Tensor dout(dtype(), in.tokens, in.q_cols(), 1);
    dout.random(2);
    const auto loss = [&] {
      in.forward(stream_, out, lse);
      return dot(dout, out);
    };
    (void)loss();
    Tensor dqkv(dtype(), in.tokens, in.qkv.cols(), 4);
    dqkv.random(7);  // overwritten, not added
    attention_backward(stream_, in.shape, dout.view(), in.q(in.qkv), in.k(in.qkv), in.v(in.qkv),
                       out.view(), lse.view(), in.segments, in.q(dqkv), in.k(dqkv), in.v(dqkv));
    EXPECT_LT(difference_error(in.qkv, dqkv, loss), 1e-6);
    EXPECT_TRUE(dqkv.gaps_untouched());
  }
}

// Longer than every tile, single precision too: against the same kernel in double precision, whose
// gradient the test above proves.
TEST_P(Attention, BackwardAgreesWithDoublePrecision) {
  for (const AttentionCase& c : attention_cases()) {
    std::vector<Tensor> gradients;
    for (const DType type : {dtype(), DType::kF64}) {
      Inputs in(type, c);
      Tensor out(type, in.tokens, in.q_cols());
      Tensor lse(type, in.tokens, in.shape.num_heads);
      Tensor dout(type, in.tokens, in.q_cols());
      dout.random(2);
      in.forward(stream_, out, lse);
      Tensor dqkv(type, in.tokens, in.qkv.cols());
      attention_backward(stream_, in.shape, dout.view(), in.q(in.qkv), in.k(in.qkv), in.v(in.qkv),
                         out.view(), lse.view(), in.segments, in.q(dqkv), in.k(dqkv), in.v(dqkv));
      gradients.push_back(dqkv);
    }
    EXPECT_LT(error_of(gradients[0], [&](auto t, auto col) { return gradients[1].at(t, col); }),
              tolerance(dtype()));
  }
}

TEST_P(Attention, OtherSegmentsDoNotMatter) {
  Inputs in(dtype(), {2, 2, 16, {9, 30, 5}});
  Tensor out(dtype(), in.tokens, in.q_cols());
  Tensor lse(dtype(), in.tokens, in.shape.num_heads);
  in.forward(stream_, out, lse);
  const Tensor before = out;
  for (std::int64_t t : {0, 8, 39, 43}) {  // tokens of the first and the last segment
    for (std::int64_t col = 0; col < in.qkv.cols(); ++col) {
      in.qkv.set(t, col, 50);
    }
  }
  in.forward(stream_, out, lse);
  for (std::int64_t t = 9; t < 39; ++t) {
    for (std::int64_t col = 0; col < in.q_cols(); ++col) {
      ASSERT_EQ(out.at(t, col), before.at(t, col));
    }
  }
}

// A model that diverges is seen to, and only where it does.
TEST_P(Attention, NotANumberStays) {
  Inputs in(dtype(), {2, 2, 16, {40}});
  Tensor out(dtype(), in.tokens, in.q_cols());
  Tensor lse(dtype(), in.tokens, in.shape.num_heads);
  in.qkv.set(20, 3, std::numeric_limits<double>::quiet_NaN());  // of the first head's query
  in.forward(stream_, out, lse);
  for (std::int64_t t = 0; t < in.tokens; ++t) {
    for (std::int64_t col = 0; col < in.q_cols(); ++col) {
      ASSERT_EQ(std::isnan(out.at(t, col)), t == 20 && col < 16) << t << " " << col;
    }
  }
}

TEST_P(Attention, ThreadsChangeNoBit) {
  Inputs in(dtype(), {4, 2, 32, {150, 3, 77, 1, 200}});
  Tensor dout(dtype(), in.tokens, in.q_cols());
  dout.random(2);
  expect_threads_change_nothing([&] {
    Tensor out(dtype(), in.tokens, in.q_cols());
    Tensor lse(dtype(), in.tokens, in.shape.num_heads);
    Tensor dqkv(dtype(), in.tokens, in.qkv.cols());
    in.forward(stream_, out, lse);
    attention_backward(stream_, in.shape, dout.view(), in.q(in.qkv), in.k(in.qkv), in.v(in.qkv),
                       out.view(), lse.view(), in.segments, in.q(dqkv), in.k(dqkv), in.v(dqkv));
    return bytes_of({&out, &dqkv});
  });
}

FINESCALE_FOR_ALL_TARGETS(Attention);

}  // namespace
}  // namespace finescale
