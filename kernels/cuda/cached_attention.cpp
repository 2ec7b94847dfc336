// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cached_attention.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/scratch.h"

namespace finescale::cuda {

void cache_store(const Stream& stream, const AttentionShape& shape, const TensorView& k,
                 const TensorView& v, std::span<const CachedToken> tokens, std::int64_t offset,
                 const CachedToken* on_device) {
  FS_CHECK(tokens.empty() || on_device != nullptr, "a GPU needs the places of the tokens there");
  cache_store(stream, shape, k, v, on_device, offset);
}

void cached_attention(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                      std::span<const CachedToken> tokens, std::int64_t offset,
                      const TensorView& out, const CachedToken* on_device) {
  FS_CHECK(tokens.empty() || on_device != nullptr, "a GPU needs the places of the tokens there");
  std::int64_t positions = 0;
  for (const CachedToken& token : tokens) {
    positions = std::max<std::int64_t>(positions, token.position + 1);
  }
  const std::int64_t needed = attention_scratch(shape, q.rows(), positions);
  if (needed == 0) {
    cached_attention(stream, shape, q, on_device, positions, offset, out, TensorView());
    return;
  }
  const ScratchTensors scratch(stream, {{DType::kF32, {needed}}});
  cached_attention(stream, shape, q, on_device, positions, offset, out, scratch[0]);
}

}  // namespace finescale::cuda
