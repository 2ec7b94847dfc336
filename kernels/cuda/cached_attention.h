// SPDX-License-Identifier: Apache-2.0
// CUDA twins of kernels/cached_attention.h, f32, heads of up to 256 columns, enqueued on the
// stream. tokens [R] on 16 bytes, the tables that they point to and the pages lie in the GPU's
// memory. A row's
// positions are cut into splits of kSplitPages pages, from position 0 on, whose sums are combined
// in their order: a row's bits depend on its sequence alone.
#pragma once

#include <cstdint>

#include "kernels/cached_attention.h"

namespace finescale::cuda {

inline constexpr std::int64_t kSplitPages = 4;  // a warp each: latency is hidden by other warps

[[nodiscard]] constexpr std::int64_t attention_splits(std::int64_t positions) noexcept {
  return (positions + kSplitPages * kCachePage - 1) / (kSplitPages * kCachePage);
}
// f32 elements of scratch for R rows, none of which sees a position behind the first `positions`.
[[nodiscard]] constexpr std::int64_t attention_scratch(const AttentionShape& shape,
                                                       std::int64_t rows,
                                                       std::int64_t positions) noexcept {
  const std::int64_t splits = attention_splits(positions);
  return splits <= 1 ? 0 : rows * shape.num_heads * splits * (shape.head_dim + 2);
}

void cache_store(const Stream& stream, const AttentionShape& shape, const TensorView& k,
                 const TensorView& v, const CachedToken* tokens, std::int64_t offset);

// scratch: attention_scratch(), or empty.
void cached_attention(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                      const CachedToken* tokens, std::int64_t positions, std::int64_t offset,
                      const TensorView& out, const TensorView& scratch);

}  // namespace finescale::cuda
