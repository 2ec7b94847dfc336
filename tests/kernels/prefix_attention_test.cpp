// SPDX-License-Identifier: Apache-2.0
// Keys that all segments see are the same as a copy of them in front of each: ordinary attention
// over the longer segments is the oracle.
#include "kernels/prefix_attention.h"

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using PrefixAttention = Kernel;

struct PrefixCase {
  int heads, kv_heads, dim;
  std::int64_t prefix;
  std::vector<std::int32_t> lengths;
};

const std::vector<PrefixCase>& prefix_cases() {
  static const std::vector<PrefixCase> all = {{1, 1, 8, 1, {1}},
                                              {4, 2, 16, 5, {5, 1, 19, 8}},
                                              {6, 1, 24, 20, {17, 64, 65}},
                                              {2, 2, 64, 33, {150, 3}}};
  return all;
}

// Tokens as columns q, k, v of one matrix, alone and behind copies of the prefix.
struct PackedRows {
  PackedRows(DType dtype, const PrefixCase& c)
      : shape{.num_heads = c.heads,
              .num_kv_heads = c.kv_heads,
              .head_dim = c.dim,
              .scale = 1 / std::sqrt(c.dim)},
        query(std::int64_t{c.heads} * c.dim),
        key(std::int64_t{c.kv_heads} * c.dim),
        prefix(c.prefix),
        tokens(total(c)),
        qkv(dtype, tokens, query + 2 * key, 3),
        kv(dtype, prefix, 2 * key, 1),
        out(dtype, tokens, query, 2),
        lse(dtype, tokens, c.heads),
        scores(dtype, tokens, prefix),
        dout(dtype, tokens, query, 1) {
    segments.push_back(0);
    for (const std::int32_t length : c.lengths) {
      segments.push_back(segments.back() + length);
    }
    qkv.random(1);
    kv.random(2);
    dout.random(3);
  }
  static std::int64_t total(const PrefixCase& c) {
    std::int64_t sum = 0;
    for (const std::int32_t length : c.lengths) {
      sum += length;
    }
    return sum;
  }
  [[nodiscard]] TensorView part(Tensor& all, int which) const {
    const std::int64_t begin = which == 0 ? 0 : query + (which - 1) * key;
    return all.view().columns(begin, begin + (which == 0 ? query : key));
  }
  void forward(const Stream& stream) {
    attention_forward(stream, shape, part(qkv, 0), part(qkv, 1), part(qkv, 2), segments, out.view(),
                      lse.view());
    prefix_attention_forward(stream, shape, part(qkv, 0), kv.view().columns(0, key),
                             kv.view().columns(key, 2 * key), scores.view(), out.view(),
                             lse.view());
  }
  // Gradients: of qkv overwritten, of kv added to.
  void backward(const Stream& stream, Tensor& dqkv, Tensor& dkv) {
    Tensor delta(scores.view().dtype, tokens, shape.num_heads);
    Tensor dscores(scores.view().dtype, tokens, prefix);
    attention_delta(stream, shape, dout.view(), out.view(), delta.view());
    attention_backward_given(stream, shape, dout.view(), part(qkv, 0), part(qkv, 1), part(qkv, 2),
                             lse.view(), delta.view(), segments, part(dqkv, 0), part(dqkv, 1),
                             part(dqkv, 2));
    prefix_attention_backward(
        stream, shape, dout.view(), part(qkv, 0), kv.view().columns(0, key),
        kv.view().columns(key, 2 * key), lse.view(), delta.view(), scores.view(), dscores.view(),
        {part(dqkv, 0), dkv.view().columns(0, key), dkv.view().columns(key, 2 * key)});
  }
  // Row t of these rows in the longer one, whose segments begin with the prefix.
  [[nodiscard]] std::int64_t longer_row(std::int64_t t) const {
    std::int64_t s = 0;
    while (segments[static_cast<std::size_t>(s) + 1] <= t) {
      ++s;
    }
    return t + (s + 1) * prefix;
  }

  AttentionShape shape;
  std::int64_t query, key, prefix, tokens;
  std::vector<std::int32_t> segments;
  Tensor qkv, kv, out, lse, scores, dout;
};

struct Longer {  // the oracle
  Longer(const Stream& stream, DType dtype, PackedRows& packed)
      : rows(packed.tokens + (std::ssize(packed.segments) - 1) * packed.prefix),
        qkv(dtype, rows, packed.query + 2 * packed.key),
        out(dtype, rows, packed.query),
        lse(dtype, rows, packed.shape.num_heads),
        dout(dtype, rows, packed.query),
        dqkv(dtype, rows, packed.query + 2 * packed.key) {
    segments.push_back(0);
    for (std::size_t s = 0; s + 1 < packed.segments.size(); ++s) {
      for (std::int64_t p = 0; p < packed.prefix; ++p) {
        for (std::int64_t c = 0; c < 2 * packed.key; ++c) {
          qkv.set(segments.back() + p, packed.query + c, packed.kv.at(p, c));
        }
      }
      segments.push_back(segments.back() + static_cast<std::int32_t>(packed.prefix) +
                         packed.segments[s + 1] - packed.segments[s]);
    }
    for (std::int64_t t = 0; t < packed.tokens; ++t) {
      for (std::int64_t c = 0; c < qkv.cols(); ++c) {
        qkv.set(packed.longer_row(t), c, packed.qkv.at(t, c));
      }
      for (std::int64_t c = 0; c < dout.cols(); ++c) {
        dout.set(packed.longer_row(t), c, packed.dout.at(t, c));
      }
    }
    attention_forward(stream, packed.shape, packed.part(qkv, 0), packed.part(qkv, 1),
                      packed.part(qkv, 2), segments, out.view(), lse.view());
    attention_backward(stream, packed.shape, dout.view(), packed.part(qkv, 0), packed.part(qkv, 1),
                       packed.part(qkv, 2), out.view(), lse.view(), segments, packed.part(dqkv, 0),
                       packed.part(dqkv, 1), packed.part(dqkv, 2));
  }
  std::int64_t rows;
  std::vector<std::int32_t> segments;
  Tensor qkv, out, lse, dout, dqkv;
};

TEST_P(PrefixAttention, IsThatOfSegmentsWhichBeginWithIt) {
  for (const PrefixCase& c : prefix_cases()) {
    PackedRows packed(dtype(), c);
    Longer longer(stream_, dtype(), packed);
    packed.forward(stream_);
    const auto row_of = [&](const Tensor& wanted) {
      return [&](std::int64_t t, std::int64_t col) { return wanted.at(packed.longer_row(t), col); };
    };
    EXPECT_LT(error_of(packed.out, row_of(longer.out)), tolerance(dtype()));
    EXPECT_LT(error_of(packed.lse, row_of(longer.lse)), tolerance(dtype()));
    EXPECT_TRUE(packed.out.gaps_untouched());
    Tensor dqkv(dtype(), packed.tokens, packed.qkv.cols(), 4);
    Tensor dkv(dtype(), packed.prefix, 2 * packed.key, 2);
    dqkv.random(7);  // overwritten
    dkv.random(8);   // added to
    const Tensor before = dkv;
    packed.backward(stream_, dqkv, dkv);
    EXPECT_LT(error_of(dqkv, row_of(longer.dqkv)), tolerance(dtype()));
    EXPECT_LT(error_of(dkv,
                       [&](std::int64_t p, std::int64_t col) {
                         double sum = before.at(p, col);
                         for (std::size_t s = 0; s + 1 < longer.segments.size(); ++s) {
                           sum += longer.dqkv.at(longer.segments[s] + p, packed.query + col);
                         }
                         return sum;
                       }),
              tolerance(dtype()));
    EXPECT_TRUE(dqkv.gaps_untouched() && dkv.gaps_untouched());
  }
}

TEST_P(PrefixAttention, ThreadsChangeNoBit) {
  expect_threads_change_nothing([&] {
    PackedRows packed(dtype(), {4, 2, 32, 11, {150, 3, 77, 1, 200}});
    Tensor dqkv(dtype(), packed.tokens, packed.qkv.cols());
    Tensor dkv(dtype(), packed.prefix, 2 * packed.key);
    packed.forward(stream_);
    packed.backward(stream_, dqkv, dkv);
    return bytes_of({&packed.out, &dqkv, &dkv});
  });
}

FINESCALE_FOR_ALL_TARGETS(PrefixAttention);

}  // namespace
}  // namespace finescale
