// SPDX-License-Identifier: Apache-2.0
// Products whose rows stand alone, and attention to keys and values in pages.
#include <cmath>
#include <cstring>
#include <deque>

#include "kernels/cuda/cached_attention.h"
#include "kernels/cuda/row_gemm.h"
#include "kernels/round.h"
#include "tests/cuda_emulation/cases.h"

namespace finescale {

namespace {

// `more` is K. With the cuts' sums apart where they are and without.
Results products_with(const Side& side, const Size& size, Array w) {
  const std::int64_t gap = size.more % 2 == 0 ? 4 : 3;  // packs, and none
  Array x = side.input(1, size.rows, size.more, gap);
  Array plain = side.input(3, size.rows, size.cols, 4);
  Array added = side.input(4, size.rows, size.cols, 1);
  if (!side.is_cuda()) {
    row_gemm(side.stream, 1, x.view(), w.view(), 0, plain.view());
    row_gemm(side.stream, -0.5, x.view(), w.view(), 0.25, added.view());
    return {{"plain", plain}, {"added", added}};
  }
  const std::int64_t cuts = cuda::row_gemm_cuts(size.more).count;
  Array partials = side.output(cuts, size.rows * size.cols);
  cuda::row_gemm(side.stream, 1, x.view(), w.view(), 0, plain.view(),
                 cuts > 1 ? partials.view() : TensorView());
  cuda::row_gemm(side.stream, -0.5, x.view(), w.view(), 0.25, added.view(), TensorView());
  return {{"plain", plain}, {"added", added}};
}

Results row_products(const Side& side, const Size& size) {
  return products_with(side, size, side.input(2, size.cols, size.more, size.more % 2 == 0 ? 4 : 3));
}

// Rows of W begin on 16 bytes, or on none.
Results row_products_of_bf16(const Side& side, const Size& size) {
  const std::int64_t gap = size.more % 3 == 0 ? 1 : rounded_stride(size.more) - size.more;
  return products_with(side, size, side.bf16_input(2, size.cols, size.more, gap));
}

struct CacheLayout {
  int heads, kv_heads, dim;
  std::vector<std::int32_t> lengths;
  int window = 0;
};

const std::vector<CacheLayout>& cache_layouts() {
  static const std::vector<CacheLayout> all = {
      {1, 1, 8, {1}},
      {4, 2, 32, {33, 2, 40}},       // 75 tokens
      {6, 2, 24, {17, 64, 65}},      // lanes that are left over
      {3, 1, 75, {5, 70}},           // rows that are not in packs
      {2, 2, 6, {70, 3}},            //
      {7, 1, 16, {40}, 1},           // a token sees itself
      {4, 2, 16, {5, 1, 90, 8}, 7},  //
      {2, 1, 128, {70, 9}, 33},      //
      {9, 1, 256, {37, 2}},          // two blocks of queries
      {2, 1, 8, {300, 260, 40}},     // splits of 256 positions
      {2, 1, 8, {530}, 270},         // of which a window leaves some out
      {9, 3, 64, {1000, 3}},         //
      {4, 1, 64, {700}, 100},        //
  };
  return all;
}

// Tokens with their pages, full of NaN, two layers of which the second is used; the tables lie
// where a device can read them.
class Pages {
 public:
  Pages(DType dtype, const AttentionShape& shape, const std::vector<std::int32_t>& lengths)
      : elements_(cache_page_elements(shape)) {
    std::int64_t tokens = 0;
    for (const std::int32_t length : lengths) {
      tokens += length;
    }
    tokens_.emplace_back(DType::kF64, 1, 2 * tokens);  // of 16 bytes
    auto* token = reinterpret_cast<CachedToken*>(tokens_.front().view().data);
    for (const std::int32_t length : lengths) {
      const std::int64_t count = (length + kCachePage - 1) / kCachePage;
      Array& table = tables_.emplace_back(DType::kF64, 1, count);
      auto** pages = static_cast<void**>(table.view().data);
      for (std::int64_t p = 0; p < count; ++p) {
        Array& page = memory_.emplace_back(dtype, 1, 2 * elements_);
        for (std::int64_t i = 0; i < 2 * elements_; ++i) {
          page.set(0, i, NAN);
        }
        pages[p] = page.view().data;
      }
      for (std::int32_t position = 0; position < length; ++position) {
        *token++ = {pages, position};
      }
    }
  }
  [[nodiscard]] std::span<const CachedToken> tokens() {
    return {static_cast<const CachedToken*>(tokens_.front().view().data),
            static_cast<std::size_t>(tokens_.front().cols() / 2)};
  }
  [[nodiscard]] std::int64_t offset() const { return elements_; }

 private:
  std::int64_t elements_;
  std::deque<Array> memory_, tables_, tokens_;
};

Results paged_attention(const Side& side, const Size& size) {
  const CacheLayout& layout = cache_layouts()[static_cast<std::size_t>(size.more)];
  const AttentionShape shape{.num_heads = layout.heads,
                             .num_kv_heads = layout.kv_heads,
                             .head_dim = layout.dim,
                             .scale = 1 / std::sqrt(layout.dim),
                             .window = layout.window};
  Pages pages(side.storage(), shape, layout.lengths);
  const auto tokens = static_cast<std::int64_t>(pages.tokens().size());
  const std::int64_t wide = std::int64_t{layout.heads} * layout.dim;
  const std::int64_t narrow = std::int64_t{layout.kv_heads} * layout.dim;
  Array qkv = side.input(1, tokens, wide + 2 * narrow, 4);
  Array out = side.output(tokens, wide, 3);
  const TensorView q = qkv.view().columns(0, wide);
  const TensorView k = qkv.view().columns(wide, wide + narrow);
  const TensorView v = qkv.view().columns(wide + narrow, wide + 2 * narrow);
  if (!side.is_cuda()) {
    cache_store(side.stream, shape, k, v, pages.tokens(), pages.offset());
    cached_attention(side.stream, shape, q, pages.tokens(), pages.offset(), out.view());
    return {{"out", out}};
  }
  std::int64_t positions = 0;
  for (const std::int32_t length : layout.lengths) {
    positions = std::max<std::int64_t>(positions, length);
  }
  const CachedToken* places = pages.tokens().data();
  Array scratch(DType::kF32, 1, cuda::attention_scratch(shape, tokens, positions));
  cuda::cache_store(side.stream, shape, k, v, places, pages.offset());
  cuda::cached_attention(side.stream, shape, q, places, positions, pages.offset(), out.view(),
                         scratch.cols() == 0 ? TensorView() : scratch.vector());
  return {{"out", out}};
}

}  // namespace

std::vector<Case> generation_cases() {
  Case products{.name = "row_gemm",
                .dtypes = {DType::kF32, DType::kF64},
                .sizes = {{1, 1, 1},
                          {1, 1000, 75},
                          {3, 75, 1000},
                          {5, 75, 7},
                          {16, 65, 300},
                          {17, 64, 64},
                          {33, 1, 1000},
                          {65, 75, 40},
                          {75, 129, 33}},
                .slow_sizes = {{2, 1000, 3001}, {75, 300, 2304}, {130, 1000, 576}},
                .run = row_products,
                .slack = 3};
  Case products_of_bf16 = products;
  products_of_bf16.name = "row_gemm_of_bf16";
  products_of_bf16.dtypes = {DType::kF32};
  products_of_bf16.run = row_products_of_bf16;
  Case attention{.name = "cached_attention",
                 .dtypes = {DType::kF32},
                 .sizes = {},
                 .slow_sizes = {},
                 .run = paged_attention};
  for (std::int64_t i = 0; i < std::ssize(cache_layouts()); ++i) {
    (i < 10 ? attention.sizes : attention.slow_sizes).push_back({.more = i});
  }
  return {products, products_of_bf16, attention};
}

}  // namespace finescale
