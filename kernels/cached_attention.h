// SPDX-License-Identifier: Apache-2.0
// Attention of new tokens to the keys and values that their sequences keep in pages: for
// generation. Letters: R new tokens, H query heads, K key/value heads, D head width, P positions of
// a page.
#pragma once

#include <cstdint>
#include <span>

#include "core/device.h"
#include "core/tensor.h"
#include "kernels/attention.h"

namespace finescale {

inline constexpr std::int64_t kCachePage = 64;  // P: four vectors of the widest registers

// A layer's part of a page: keys [K, D, P], transposed so that scores are vectors over positions,
// then values [K, P, D].
[[nodiscard]] constexpr std::int64_t cache_page_elements(const AttentionShape& shape) noexcept {
  return 2 * kCachePage * std::int64_t{shape.num_kv_heads} * shape.head_dim;
}

struct CachedToken {
  void* const* pages = nullptr;  // of its sequence, one for every P positions up to this one
  std::int32_t position = 0;
};

// Puts k and v [R, K*D] of the tokens where they belong. offset: elements from a page's begin to
// this layer's part. on_device [R]: the tokens where the stream's GPU can read them, with tables of
// pages that lie there too; null on the CPU.
void cache_store(const Stream& stream, const AttentionShape& shape, const TensorView& k,
                 const TensorView& v, std::span<const CachedToken> tokens, std::int64_t offset,
                 const CachedToken* on_device = nullptr);

// q, out [R, H*D]: a token sees positions 0 to its own, which must be stored. Neighbours of one
// sequence share the reading of its pages; a row's bits depend on its sequence alone.
void cached_attention(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                      std::span<const CachedToken> tokens, std::int64_t offset,
                      const TensorView& out, const CachedToken* on_device = nullptr);

}  // namespace finescale
