// SPDX-License-Identifier: Apache-2.0
#include "kernels/cached_attention.h"

#include <deque>

#include "tests/kernels/kernel_fixture.h"

namespace finescale {
namespace {

using CachedAttention = Kernel;

struct CachedCase {
  int heads, kv_heads, dim;
  std::vector<std::int32_t> lengths;
};

const std::vector<CachedCase>& cached_cases() {
  static const std::vector<CachedCase> all = {
      {1, 1, 8, {1}},           {4, 4, 16, {5, 1, 19, 8}}, {4, 2, 32, {33, 2, 70}},
      {6, 1, 24, {17, 64, 65}}, {3, 3, 6, {66, 128, 129}}, {9, 3, 64, {200, 3}}};
  return all;
}

// Sequences one after another: q, k, v of every token, and what attention over segments says.
struct Sequences {
  Sequences(DType type, const CachedCase& c)
      : dtype(type),
        lengths(c.lengths),
        shape{.num_heads = c.heads,
              .num_kv_heads = c.kv_heads,
              .head_dim = c.dim,
              .scale = 1 / std::sqrt(c.dim)},
        q_cols(std::int64_t{c.heads} * c.dim),
        k_cols(std::int64_t{c.kv_heads} * c.dim) {
    segments.push_back(0);
    for (const std::int32_t length : lengths) {
      segments.push_back(segments.back() + length);
    }
    tokens = segments.back();
    qkv.emplace_back(dtype, tokens, q_cols + 2 * k_cols, 3).random(1);
    out.emplace_back(dtype, tokens, q_cols);
    Tensor lse(dtype, tokens, c.heads);
    attention_forward(Stream(), shape, q(0, tokens), k(0, tokens), v(0, tokens), segments,
                      out.front().view(), lse.view());
  }
  [[nodiscard]] TensorView rows(std::int64_t first, std::int64_t last) {
    return qkv.front().view().row_range(first, last);
  }
  [[nodiscard]] TensorView q(std::int64_t first, std::int64_t last) {
    return rows(first, last).columns(0, q_cols);
  }
  [[nodiscard]] TensorView k(std::int64_t first, std::int64_t last) {
    return rows(first, last).columns(q_cols, q_cols + k_cols);
  }
  [[nodiscard]] TensorView v(std::int64_t first, std::int64_t last) {
    return rows(first, last).columns(q_cols + k_cols, q_cols + 2 * k_cols);
  }

  DType dtype;
  std::vector<std::int32_t> lengths;
  AttentionShape shape;
  std::int64_t q_cols, k_cols;
  std::vector<std::int32_t> segments;
  std::int64_t tokens = 0;
  std::vector<Tensor> qkv, out;
};

// Pages full of NaN: what was not stored must not be read. Two layers, the second is used.
class Cache {
 public:
  explicit Cache(const Sequences& s) : elements_(cache_page_elements(s.shape)) {
    for (const std::int32_t length : s.lengths) {
      pages_.emplace_back();
      for (std::int64_t p = 0; p < length; p += kCachePage) {
        Tensor& page = memory_.emplace_back(s.dtype, 0, 2 * elements_);
        for (std::int64_t i = 0; i < 2 * elements_; ++i) {
          page.set(0, i, NAN);
        }
        pages_.back().push_back(page.view().data);
      }
    }
  }
  [[nodiscard]] CachedToken token(std::size_t sequence, std::int32_t position) const {
    return {pages_[sequence].data(), position};
  }
  [[nodiscard]] std::int64_t offset() const { return elements_; }

 private:
  std::int64_t elements_;
  std::deque<Tensor> memory_;
  std::vector<std::vector<void*>> pages_;
};

// Rows [first, last) of the sequences' tokens, stored and attended in one call.
void pass(Sequences& s, const Cache& cache, std::int64_t first, std::int64_t last, Tensor& out) {
  std::vector<CachedToken> places;
  for (std::int64_t t = first; t < last; ++t) {
    std::size_t sequence = 0;
    while (s.segments[sequence + 1] <= t) {
      ++sequence;
    }
    places.push_back(cache.token(sequence, static_cast<std::int32_t>(t) - s.segments[sequence]));
  }
  cache_store(Stream(), s.shape, s.k(first, last), s.v(first, last), places, cache.offset());
  cached_attention(Stream(), s.shape, s.q(first, last), places, cache.offset(),
                   out.view().row_range(first, last));
}

TEST_P(CachedAttention, WholePromptsAreTheForwardPass) {
  for (const CachedCase& c : cached_cases()) {
    Sequences s(dtype(), c);
    Tensor out(dtype(), s.tokens, s.q_cols);
    pass(s, Cache(s), 0, s.tokens, out);
    EXPECT_LT(error_of(out, [&](auto t, auto col) { return s.out.front().at(t, col); }),
              tolerance(dtype()));
  }
}

TEST_P(CachedAttention, BlocksOfAnySizeHaveTheSameBits) {
  for (const CachedCase& c : cached_cases()) {
    Sequences s(dtype(), c);
    Tensor whole(dtype(), s.tokens, s.q_cols);
    pass(s, Cache(s), 0, s.tokens, whole);
    for (const std::int64_t block : {1, 3, 8, 50}) {
      Tensor out(dtype(), s.tokens, s.q_cols);
      const Cache cache(s);
      for (std::int64_t first = 0; first < s.tokens; first += block) {
        pass(s, cache, first, std::min(first + block, s.tokens), out);
      }
      EXPECT_TRUE(out.bytes() == whole.bytes()) << "blocks of " << block;
    }
  }
}

TEST_P(CachedAttention, AWindowHidesEarlierPositions) {
  for (const int window : {1, 5, 64, 100}) {
    Sequences s(dtype(), {2, 1, 16, {150, 70}});
    s.shape.window = window;
    Tensor out(dtype(), s.tokens, s.q_cols);
    pass(s, Cache(s), 0, s.tokens, out);
    for (std::int64_t t = 0; t < s.tokens; ++t) {
      const std::int64_t begin = t < 150 ? 0 : 150;
      const std::int64_t first = std::max(begin, t - window + 1);
      AttentionShape shape = s.shape;  // the window's tokens as a sequence of their own
      shape.window = 0;
      const std::vector<std::int32_t> segments = {0, static_cast<std::int32_t>(t - first + 1)};
      Tensor lse(dtype(), t - first + 1, 2);
      Tensor wanted(dtype(), t - first + 1, s.q_cols);
      attention_forward(Stream(), shape, s.q(first, t + 1), s.k(first, t + 1), s.v(first, t + 1),
                        segments, wanted.view(), lse.view());
      for (std::int64_t col = 0; col < s.q_cols; ++col) {
        ASSERT_NEAR(out.at(t, col), wanted.at(t - first, col), is_f64() ? 1e-12 : 1e-5);
      }
    }
    for (const std::int64_t block : {1, 7}) {
      Tensor blocks(dtype(), s.tokens, s.q_cols);
      const Cache cache(s);
      for (std::int64_t first = 0; first < s.tokens; first += block) {
        pass(s, cache, first, std::min(first + block, s.tokens), blocks);
      }
      EXPECT_TRUE(blocks.bytes() == out.bytes()) << "blocks of " << block;
    }
  }
}

TEST_P(CachedAttention, ThreadsChangeNoBit) {
  Sequences s(dtype(), {4, 2, 32, {150, 3, 77, 1, 200}});
  expect_threads_change_nothing([&] {
    Tensor out(dtype(), s.tokens, s.q_cols);
    pass(s, Cache(s), 0, s.tokens, out);
    return out.bytes();
  });
}

FINESCALE_FOR_ALL_TARGETS(CachedAttention);

}  // namespace
}  // namespace finescale
