// SPDX-License-Identifier: Apache-2.0
// Attention over packed rows, forward and backward. A size's `more` is the index of a layout.
#include <cmath>
#include <numeric>

#include "kernels/cuda/attention.h"
#include "tests/cuda_emulation/cases.h"

namespace finescale {

namespace {

struct Layout {
  int heads, kv_heads, dim;
  std::vector<std::int32_t> lengths;
  int window = 0;
};

const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all = {
      {1, 1, 8, {1}},
      {4, 2, 32, {33, 2, 40}},         // 75 tokens
      {2, 1, 24, {17, 64, 65}},        // fewer columns than the kernel's
      {1, 1, 75, {5, 40}},             // rows that are not in packs
      {2, 2, 64, {70, 3}},             //
      {1, 1, 8, {40}, 1},              // a token sees itself
      {4, 2, 16, {5, 1, 90, 8}, 7},    //
      {2, 1, 128, {70, 9}, 33},        //
      {1, 1, 256, {37, 2}},            //
      {3, 3, 96, {20, 30}, 100},       // a window longer than the segments
      {4, 2, 64, {128}},               // tiles that are full to the end, of heads that share keys
      {4, 1, 64, {500, 1, 250, 249}},  // 1000 tokens
      {2, 1, 64, {3000, 1}, 512},      // 3001 tokens
      {2, 1, 128, {1000}},             //
  };
  return all;
}

Array segments_of(const Layout& layout) {
  Array segments(DType::kI32, 1, std::ssize(layout.lengths) + 1);
  std::int32_t end = 0;
  for (std::size_t s = 0; s < layout.lengths.size(); ++s) {
    end += layout.lengths[s];
    segments.set(0, static_cast<std::int64_t>(s) + 1, end);
  }
  return segments;
}

// q, k, v are columns of one matrix, as the model has them.
Results attention(const Side& side, const Size& size) {
  const Layout& layout = layouts()[static_cast<std::size_t>(size.more)];
  const AttentionShape shape{.num_heads = layout.heads,
                             .num_kv_heads = layout.kv_heads,
                             .head_dim = layout.dim,
                             .scale = 1 / std::sqrt(layout.dim),
                             .window = layout.window};
  const std::int64_t tokens =
      std::accumulate(layout.lengths.begin(), layout.lengths.end(), std::int64_t{0});
  const std::int64_t wide = std::int64_t{layout.heads} * layout.dim;
  const std::int64_t narrow = std::int64_t{layout.kv_heads} * layout.dim;
  const std::int64_t gap = size.more % 4 == 1 ? 4 : 8;  // with 4, bf16 does not fit tensor cores
  Array qkv = side.input(1, tokens, wide + 2 * narrow, gap);
  Array dqkv = side.input(2, tokens, wide + 2 * narrow, gap);  // overwritten, not added
  Array dout = side.input(3, tokens, wide, 8);
  Array out = side.output(tokens, wide, 8);
  Array lse = side.wide_output(tokens, layout.heads);
  Array segments = segments_of(layout);
  const auto q = [&](Array& all) { return all.view().columns(0, wide); };
  const auto k = [&](Array& all) { return all.view().columns(wide, wide + narrow); };
  const auto v = [&](Array& all) { return all.view().columns(wide + narrow, wide + 2 * narrow); };
  if (side.is_cuda()) {
    Array delta = side.wide_output(tokens, layout.heads);
    cuda::attention_forward(side.stream, shape, q(qkv), k(qkv), v(qkv), segments.vector(),
                            out.view(), lse.view());
    cuda::attention_backward(side.stream, shape, dout.view(), q(qkv), k(qkv), v(qkv), out.view(),
                             lse.view(), segments.vector(), delta.view(), q(dqkv), k(dqkv),
                             v(dqkv));
  } else {
    const std::span<const std::int32_t> offsets(segments.vector().as<std::int32_t>(),
                                                static_cast<std::size_t>(segments.cols()));
    attention_forward(side.stream, shape, q(qkv), k(qkv), v(qkv), offsets, out.view(), lse.view());
    attention_backward(side.stream, shape, dout.view(), q(qkv), k(qkv), v(qkv), out.view(),
                       lse.view(), offsets, q(dqkv), k(dqkv), v(dqkv));
  }
  return {{"out", out}, {"lse", lse}, {"dqkv", dqkv}};
}

}  // namespace

std::vector<Case> attention_cases() {
  Case all{.name = "attention",
           .dtypes = {DType::kF32, DType::kBf16},
           .sizes = {},
           .slow_sizes = {},
           .run = attention,
           .slack = 3};  // the gradient has the rounding of out and lse in it
  for (std::int64_t i = 0; i < std::ssize(layouts()); ++i) {
    (i < 11 ? all.sizes : all.slow_sizes).push_back({.more = i});
  }
  return {all};
}

}  // namespace finescale
