// SPDX-License-Identifier: Apache-2.0
#include "kernels/cached_attention.h"

#include <algorithm>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void cache_store(const Stream& stream, const AttentionShape& shape, const TensorView& k,
                 const TensorView& v, std::span<const CachedToken> tokens, std::int64_t offset,
                 const CachedToken* on_device) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "cache_store", {k.rows(), shape.num_kv_heads, shape.head_dim}, 0, 2 * bytes_of(k, v)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::cache_store(stream, shape, k, v, tokens, offset, on_device);
      return;
    case DeviceType::kCuda:
      cuda::cache_store(stream, shape, k, v, tokens, offset, on_device);
      return;
  }
}

void cached_attention(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                      std::span<const CachedToken> tokens, std::int64_t offset,
                      const TensorView& out, const CachedToken* on_device) {
  const KernelSpan span(stream, [&] {
    double positions = 0;
    for (const CachedToken& token : tokens) {
      positions +=
          shape.window > 0 ? std::min(shape.window, token.position + 1) : token.position + 1;
    }
    const double width = static_cast<double>(shape.head_dim);
    return KernelCall{"cached_attention",
                      {q.rows(), shape.num_heads, shape.head_dim},
                      4 * positions * shape.num_heads * width,
                      bytes_of(q, out) + 2 * positions * shape.num_kv_heads * width *
                                             static_cast<double>(dtype_size(q.dtype))};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::cached_attention(stream, shape, q, tokens, offset, out, on_device);
      return;
    case DeviceType::kCuda:
      cuda::cached_attention(stream, shape, q, tokens, offset, out, on_device);
      return;
  }
}

}  // namespace finescale
