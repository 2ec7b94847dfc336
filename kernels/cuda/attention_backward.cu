// SPDX-License-Identifier: Apache-2.0
// Gradients of queries in one kernel, of keys and values in another, each owned by one block: no
// atomics. With p = exp(s - lse) made again: ds = p (dp - delta) scale, delta = sum over columns of
// dout out. Letters: T tokens, H query heads, K key/value heads, D head width.
#include <cmath>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kDeltaTokens = 4;  // of a block, a warp each

// delta [T, H]; dout, out [T, H*D].
template <class S>
__global__ void __launch_bounds__(kWarp* kDeltaTokens)
    find_delta(Heads<const S> dout, Heads<const S> out, Heads<float> delta, AttentionSizes sizes) {
  const std::int64_t t = static_cast<std::int64_t>(blockIdx.x) * kDeltaTokens + threadIdx.y;
  if (t >= sizes.tokens) {
    return;
  }
  const int head = static_cast<int>(blockIdx.y);
  const S* a = dout.of_head(head, sizes.width).data + t * dout.stride;
  const S* b = out.of_head(head, sizes.width).data + t * out.stride;
  float sum = 0;
  for (int c = static_cast<int>(threadIdx.x); c < sizes.width; c += static_cast<int>(kWarp)) {
    sum = fmaf(to_compute(a[c]), to_compute(b[c]), sum);
  }
  sum = warp_sum(sum);
  if (threadIdx.x == 0) {
    delta.data[t * delta.stride + head] = sum;
  }
}

// Block (tile of queries, head). dq [T, H*D].
template <class S, int kHeadDim>
__global__ void __launch_bounds__(Tiles<kHeadDim>::kThreads)
    query_gradients(Heads<const S> dout, Heads<const S> q, Heads<const S> k, Heads<const S> v,
                    Heads<const float> lse, Heads<const float> delta,
                    const std::int32_t* __restrict__ segments, Heads<S> dq, AttentionSizes sizes) {
  using G = Tiles<kHeadDim>;
  GPU_DYNAMIC_SHARED(float, queries);
  float* grads = queries + G::kRowFloats;
  float* keys = grads + G::kRowFloats;
  float* values = keys + G::kColFloats;
  float* weights = values + G::kColFloats;
  const int head = static_cast<int>(blockIdx.y);
  const int first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * G::kRows;  // longest rows first
  const int end = first + G::kRows < sizes.tokens ? first + G::kRows : sizes.tokens;
  load_tile<kHeadDim, G::kRows>(q.of_head(head, sizes.width), first, end, sizes, queries);
  load_tile<kHeadDim, G::kRows>(dout.of_head(head, sizes.width), first, end, sizes, grads);
  k = k.of_head(head / sizes.group, sizes.width);
  v = v.of_head(head / sizes.group, sizes.width);
  int seen[G::kRowsOfThread];
  float level[G::kRowsOfThread];
  float mean[G::kRowsOfThread];
  float sums[G::kRowsOfThread][G::kSums] = {};
#pragma unroll
  for (int i = 0; i < G::kRowsOfThread; ++i) {
    const int own = first + row_group() + i * G::kRowGroups;
    const int t = own < end ? own : end - 1;
    seen[i] = first_seen(sizes, segments, t);
    level[i] = lse.data[t * lse.stride + head] * kLog2E;
    mean[i] = delta.data[t * delta.stride + head];
  }
  const float scale = sizes.scale * kLog2E;
  for (int begin = first_seen(sizes, segments, first); begin < end; begin += G::kCols) {
    __syncthreads();  // the tile before has been used
    load_tile<kHeadDim, G::kCols>(k, begin, end, sizes, keys);
    load_tile<kHeadDim, G::kCols>(v, begin, end, sizes, values);
    __syncthreads();
    float p[G::kRowsOfThread][G::kColsOfThread];
    float dp[G::kRowsOfThread][G::kColsOfThread];
    multiply<kHeadDim>(queries, keys, p);
    multiply<kHeadDim>(grads, values, dp);
#pragma unroll
    for (int i = 0; i < G::kRowsOfThread; ++i) {
      const int t = first + row_group() + i * G::kRowGroups;
#pragma unroll
      for (int j = 0; j < G::kColsOfThread; ++j) {
        const int n = begin + lane_of_row() + j * kLanesOfRow;
        const float weight = n >= seen[i] && n <= t ? exp2f(fmaf(p[i][j], scale, -level[i])) : 0.0F;
        dp[i][j] = weight * (dp[i][j] - mean[i]) * sizes.scale;
      }
    }
    share<kHeadDim>(dp, weights);
    accumulate<kHeadDim>(weights, keys, sums);
  }
  store_rows<kHeadDim>(sums, first, end, sizes, dq.of_head(head, sizes.width));
}

// Block (tile of keys, key/value head): over the query heads of the group in order, and of each
// over the queries that see a key of the tile. dk, dv [T, K*D].
template <class S, int kHeadDim>
__global__ void __launch_bounds__(Tiles<kHeadDim>::kThreads)
    key_gradients(Heads<const S> dout, Heads<const S> q, Heads<const S> k, Heads<const S> v,
                  Heads<const float> lse, Heads<const float> delta,
                  const std::int32_t* __restrict__ segments, Heads<S> dk, Heads<S> dv,
                  AttentionSizes sizes) {
  using G = Tiles<kHeadDim>;
  GPU_DYNAMIC_SHARED(float, keys);
  float* values = keys + G::kRowFloats;
  float* queries = values + G::kRowFloats;
  float* grads = queries + G::kColFloats;
  float* weights = grads + G::kColFloats;
  const int kv_head = static_cast<int>(blockIdx.y);
  const int first = static_cast<int>(blockIdx.x) * G::kRows;
  const int last = first + G::kRows < sizes.tokens ? first + G::kRows : sizes.tokens;
  load_tile<kHeadDim, G::kRows>(k.of_head(kv_head, sizes.width), first, last, sizes, keys);
  load_tile<kHeadDim, G::kRows>(v.of_head(kv_head, sizes.width), first, last, sizes, values);
  int seen_by[G::kRowsOfThread];
  float key_sums[G::kRowsOfThread][G::kSums] = {};
  float value_sums[G::kRowsOfThread][G::kSums] = {};
#pragma unroll
  for (int i = 0; i < G::kRowsOfThread; ++i) {
    const int n = first + row_group() + i * G::kRowGroups;
    seen_by[i] = n < last ? last_seen_by(sizes, segments, n) : 0;
  }
  const int end = last_seen_by(sizes, segments, last - 1);
  const float scale = sizes.scale * kLog2E;
  for (int head = kv_head * sizes.group; head < (kv_head + 1) * sizes.group; ++head) {
    for (int begin = first; begin < end; begin += G::kCols) {
      __syncthreads();  // the tile before has been used
      load_tile<kHeadDim, G::kCols>(q.of_head(head, sizes.width), begin, end, sizes, queries);
      load_tile<kHeadDim, G::kCols>(dout.of_head(head, sizes.width), begin, end, sizes, grads);
      __syncthreads();
      float p[G::kRowsOfThread][G::kColsOfThread];
      multiply<kHeadDim>(keys, queries, p);
#pragma unroll
      for (int j = 0; j < G::kColsOfThread; ++j) {
        const int t = begin + lane_of_row() + j * kLanesOfRow;
        const float level = t < end ? lse.data[t * lse.stride + head] * kLog2E : 0.0F;
#pragma unroll
        for (int i = 0; i < G::kRowsOfThread; ++i) {
          const int n = first + row_group() + i * G::kRowGroups;
          p[i][j] = t >= n && t < seen_by[i] ? exp2f(fmaf(p[i][j], scale, -level)) : 0.0F;
        }
      }
      share<kHeadDim>(p, weights);
      accumulate<kHeadDim>(weights, grads, value_sums);
      float dp[G::kRowsOfThread][G::kColsOfThread];
      multiply<kHeadDim>(values, grads, dp);
#pragma unroll
      for (int j = 0; j < G::kColsOfThread; ++j) {
        const int t = begin + lane_of_row() + j * kLanesOfRow;
        const float mean = t < end ? delta.data[t * delta.stride + head] : 0.0F;
#pragma unroll
        for (int i = 0; i < G::kRowsOfThread; ++i) {
          dp[i][j] = p[i][j] * (dp[i][j] - mean) * sizes.scale;
        }
      }
      share<kHeadDim>(dp, weights);
      accumulate<kHeadDim>(weights, queries, key_sums);
    }
  }
  store_rows<kHeadDim>(key_sums, first, last, sizes, dk.of_head(kv_head, sizes.width));
  store_rows<kHeadDim>(value_sums, first, last, sizes, dv.of_head(kv_head, sizes.width));
}

}  // namespace

void attention_delta(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                     const TensorView& out, const TensorView& delta) {
  const AttentionSizes sizes = sizes_of(shape, dout, TensorView());
  const auto launch = [&](auto tag) {
    using S = typename decltype(tag)::type;
    gpu_launch(stream, find_delta<S>,
               dim3(blocks_for(dout.rows(), kDeltaTokens), static_cast<unsigned>(shape.num_heads)),
               dim3(kWarp, kDeltaTokens), 0, heads_of<const S>(dout), heads_of<const S>(out),
               heads_of<float>(delta), sizes);
  };
  dout.dtype == DType::kBf16 ? launch(TypeTag<Bf16>()) : launch(TypeTag<float>());
}

void attention_backward(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                        const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& out, const TensorView& lse, const TensorView& segments,
                        const TensorView& delta, const TensorView& dq, const TensorView& dk,
                        const TensorView& dv) {
  if (q.rows() == 0) {
    return;
  }
  if (q.dtype == DType::kBf16 && fits_tensor_cores(shape) &&
      lies_on(kPackOfBf16, dout, q, k, v, dq, dk, dv)) {
    attention_delta(stream, shape, dout, out, delta);
    attention_backward_mma(stream, shape, dout, q, k, v, lse, segments, delta, dq, dk, dv);
    return;
  }
  for_attention(shape, q, [&](auto tag, auto width) {
    using S = typename decltype(tag)::type;
    constexpr int kHeadDim = decltype(width)::value;
    using G = Tiles<kHeadDim>;
    attention_delta(stream, shape, dout, out, delta);
    constexpr std::size_t kBytes =
        (2 * G::kRowFloats + 2 * G::kColFloats + G::kWeightFloats) * sizeof(float);
    const auto heads = static_cast<unsigned>(shape.num_heads);
    const auto kv_heads = static_cast<unsigned>(shape.num_kv_heads);
    const unsigned tiles = blocks_for(q.rows(), G::kRows);
    const AttentionSizes sizes = sizes_of(shape, q, segments, dout, k, v, dq, dk, dv);
    gpu_launch(stream, query_gradients<S, kHeadDim>, dim3(tiles, heads), dim3(G::kThreads), kBytes,
               heads_of<const S>(dout), heads_of<const S>(q), heads_of<const S>(k),
               heads_of<const S>(v), heads_of<const float>(lse), heads_of<const float>(delta),
               segments.as<std::int32_t>(), heads_of<S>(dq), sizes);
    gpu_launch(stream, key_gradients<S, kHeadDim>, dim3(tiles, kv_heads), dim3(G::kThreads), kBytes,
               heads_of<const S>(dout), heads_of<const S>(q), heads_of<const S>(k),
               heads_of<const S>(v), heads_of<const float>(lse), heads_of<const float>(delta),
               segments.as<std::int32_t>(), heads_of<S>(dk), heads_of<S>(dv), sizes);
  });
}

}  // namespace finescale::cuda
