// SPDX-License-Identifier: Apache-2.0
// Gradients of queries in one kernel, of keys and values in another, each owned by one warp: no
// atomics. Weights are made again from lse, and leave the tensor cores where they go in again (Dao
// 2023, FlashAttention-2). With p = exp(s - lse): ds = p (dp - delta) scale. Letters: T tokens, H
// query heads, K key/value heads, D head width.
#include <cmath>

#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_mma_tiles.h"
#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

namespace {

using namespace mma;

// Keys or queries of a tile that a block goes over: as many as registers last for.
template <int kHeadDim>
constexpr int kCols = kHeadDim <= 64 ? 64 : 32;

// Of a multiprocessor: left free the compiler aims for more and spills.
template <int kHeadDim>
constexpr int kBlocks = kHeadDim <= 64 ? 2 : 1;

// sums [16, D] += a [16, kCount] b [kCount, D]: a as products leave the tensor cores, b in a tile.
template <int kHeadDim, int kCount>
__device__ __forceinline__ void accumulate(const float (&a)[kCount / 8][4], const Bf16* b,
                                           float (&sums)[kHeadDim / 8][4]) {
#pragma unroll
  for (int n = 0; n < kCount; n += 16) {
    const auto& low = a[n / 8];
    const auto& high = a[n / 8 + 1];
    const unsigned fragment[4] = {bf16_pair(low[0], low[1]), bf16_pair(low[2], low[3]),
                                  bf16_pair(high[0], high[1]), bf16_pair(high[2], high[3])};
#pragma unroll
    for (int d = 0; d < kHeadDim; d += 16) {
      unsigned pair[4];
      load_transposed(pair, matrices_by_rows<kHeadDim>(b, n, d));
      multiply_add(sums[d / 8], fragment, pair[0], pair[1]);
      multiply_add(sums[d / 8 + 1], fragment, pair[2], pair[3]);
    }
  }
}

// products [16, kCount] = the warp's 16 rows of a tile [D] times kCount rows of another.
template <int kHeadDim, int kCount>
__device__ __forceinline__ void multiply(const Bf16* rows, const Bf16* cols,
                                         float (&products)[kCount / 8][4]) {
  const int own = static_cast<int>(threadIdx.x / kWarp) * 16;
#pragma unroll
  for (int j = 0; j < kCount / 8; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      products[j][e] = 0;
    }
  }
#pragma unroll 4  // all of D = 128 would spill on sm_100
  for (int d = 0; d < kHeadDim; d += 16) {
    unsigned a[4];
    load_matrices(a, matrices_by_rows<kHeadDim>(rows, own, d));
#pragma unroll
    for (int n = 0; n < kCount; n += 16) {
      unsigned b[4];
      load_matrices(b, matrices_by_columns<kHeadDim>(cols, n, d));
      multiply_add(products[n / 8], a, b[0], b[1]);
      multiply_add(products[n / 8 + 1], a, b[2], b[3]);
    }
  }
}

// Block (tile of queries, head). dq [T, H*D].
template <int kHeadDim, class S>
__global__ void __launch_bounds__(kThreads, kBlocks<kHeadDim>)
    query_gradients_mma(Heads<const Bf16> dout, Heads<const Bf16> q, Heads<const Bf16> k,
                        Heads<const Bf16> v, Heads<const float> lse, Heads<const float> delta,
                        const std::int32_t* __restrict__ segments, Heads<S> dq,
                        AttentionSizes sizes) {
  constexpr int kKeys = kCols<kHeadDim>;
  GPU_DYNAMIC_SHARED(Bf16, queries);
  Bf16* grads = queries + kRows * kStride<kHeadDim>;
  Bf16* keys = grads + kRows * kStride<kHeadDim>;
  Bf16* values = keys + kKeys * kStride<kHeadDim>;
  const int head = static_cast<int>(blockIdx.y);
  const int own = static_cast<int>(threadIdx.x / kWarp) * 16;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kRows;  // longest rows first
  const int end = first + kRows < sizes.tokens ? first + kRows : sizes.tokens;
  k = k.of_head(head / sizes.group, sizes.width);
  v = v.of_head(head / sizes.group, sizes.width);
  copy_in<kHeadDim, kRows>(q.of_head(head, sizes.width), first, end, sizes.width, queries);
  copy_in<kHeadDim, kRows>(dout.of_head(head, sizes.width), first, end, sizes.width, grads);
  int token[2];
  int seen[2];
  float level[2];
  float mean[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    token[r] = first + own + lane / 4 + 8 * r;
    const int t = token[r] < end ? token[r] : end - 1;
    seen[r] = first_seen(sizes, segments, t);
    level[r] = lse.data[t * lse.stride + head] * kLog2E;
    mean[r] = delta.data[t * delta.stride + head];
  }
  const float scale = sizes.scale * kLog2E;
  float sums[kHeadDim / 8][4] = {};
  for (int begin = first_seen(sizes, segments, first); begin < end; begin += kKeys) {
    __syncthreads();  // the tile before has been used
    copy_in<kHeadDim, kKeys>(k, begin, end, sizes.width, keys);
    copy_in<kHeadDim, kKeys>(v, begin, end, sizes.width, values);
    __syncthreads();
    float p[kKeys / 8][4];
    float dp[kKeys / 8][4];
    multiply<kHeadDim, kKeys>(queries, keys, p);
    multiply<kHeadDim, kKeys>(grads, values, dp);
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int n = begin + 8 * j + lane % 4 * 2 + e % 2;
        const bool visible = n >= seen[e / 2] && n <= token[e / 2];
        const float weight = visible ? exp2f(fmaf(p[j][e], scale, -level[e / 2])) : 0.0F;
        dp[j][e] = weight * (dp[j][e] - mean[e / 2]) * sizes.scale;
      }
    }
    accumulate<kHeadDim, kKeys>(dp, keys, sums);
  }
  __syncthreads();  // queries have been used
  const float one[2] = {1, 1};
  store_sums<kHeadDim>(sums, one, first + own, end, sizes.width, queries,
                       dq.of_head(head, sizes.width));
}

// Block (tile of keys, key/value head): over the query heads of the group in order, and of each
// over the queries that see a key of the tile. dk, dv [T, K*D].
template <int kHeadDim, class S>
__global__ void __launch_bounds__(kThreads, kBlocks<kHeadDim>)
    key_gradients_mma(Heads<const Bf16> dout, Heads<const Bf16> q, Heads<const Bf16> k,
                      Heads<const Bf16> v, Heads<const float> lse, Heads<const float> delta,
                      const std::int32_t* __restrict__ segments, Heads<S> dk, Heads<S> dv,
                      AttentionSizes sizes) {
  constexpr int kQueries = kCols<kHeadDim>;
  GPU_DYNAMIC_SHARED(Bf16, keys);
  GPU_SHARED(float, levels, [kQueries]);
  GPU_SHARED(float, means, [kQueries]);
  Bf16* values = keys + kRows * kStride<kHeadDim>;
  Bf16* queries = values + kRows * kStride<kHeadDim>;
  Bf16* grads = queries + kQueries * kStride<kHeadDim>;
  const int kv_head = static_cast<int>(blockIdx.y);
  const int own = static_cast<int>(threadIdx.x / kWarp) * 16;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int first = static_cast<int>(blockIdx.x) * kRows;
  const int last = first + kRows < sizes.tokens ? first + kRows : sizes.tokens;
  copy_in<kHeadDim, kRows>(k.of_head(kv_head, sizes.width), first, last, sizes.width, keys);
  copy_in<kHeadDim, kRows>(v.of_head(kv_head, sizes.width), first, last, sizes.width, values);
  int key[2];
  int seen_by[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    key[r] = first + own + lane / 4 + 8 * r;
    seen_by[r] = key[r] < last ? last_seen_by(sizes, segments, key[r]) : 0;
  }
  const int end = last_seen_by(sizes, segments, last - 1);
  const float scale = sizes.scale * kLog2E;
  float key_sums[kHeadDim / 8][4] = {};
  float value_sums[kHeadDim / 8][4] = {};
  for (int head = kv_head * sizes.group; head < (kv_head + 1) * sizes.group; ++head) {
    for (int begin = first; begin < end; begin += kQueries) {
      __syncthreads();  // the tile before has been used
      copy_in<kHeadDim, kQueries>(q.of_head(head, sizes.width), begin, end, sizes.width, queries);
      copy_in<kHeadDim, kQueries>(dout.of_head(head, sizes.width), begin, end, sizes.width, grads);
      if (threadIdx.x < kQueries) {
        const int t = begin + static_cast<int>(threadIdx.x);
        levels[threadIdx.x] = t < end ? lse.data[t * lse.stride + head] * kLog2E : 0.0F;
        means[threadIdx.x] = t < end ? delta.data[t * delta.stride + head] : 0.0F;
      }
      __syncthreads();
      float p[kQueries / 8][4];
      float dp[kQueries / 8][4];
      multiply<kHeadDim, kQueries>(keys, queries, p);
      multiply<kHeadDim, kQueries>(values, grads, dp);
#pragma unroll
      for (int j = 0; j < kQueries / 8; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int column = 8 * j + lane % 4 * 2 + e % 2;
          const int t = begin + column;
          const bool visible = t >= key[e / 2] && t < seen_by[e / 2];
          p[j][e] = visible ? exp2f(fmaf(p[j][e], scale, -levels[column])) : 0.0F;
          dp[j][e] = p[j][e] * (dp[j][e] - means[column]) * sizes.scale;
        }
      }
      accumulate<kHeadDim, kQueries>(p, grads, value_sums);
      accumulate<kHeadDim, kQueries>(dp, queries, key_sums);
    }
  }
  __syncthreads();  // keys and values have been used
  const float one[2] = {1, 1};
  store_sums<kHeadDim>(key_sums, one, first + own, last, sizes.width, keys,
                       dk.of_head(kv_head, sizes.width));
  store_sums<kHeadDim>(value_sums, one, first + own, last, sizes.width, values,
                       dv.of_head(kv_head, sizes.width));
}

}  // namespace

void attention_backward_mma(const Stream& stream, const AttentionShape& shape,
                            const TensorView& dout, const TensorView& q, const TensorView& k,
                            const TensorView& v, const TensorView& lse, const TensorView& segments,
                            const TensorView& delta, const TensorView& dq, const TensorView& dk,
                            const TensorView& dv) {
  for_mma(shape, dq, [&](auto tag, auto width) {
    using S = typename decltype(tag)::type;
    constexpr int kHeadDim = decltype(width)::value;
    constexpr std::size_t kBytes =
        std::size_t{2} * (kRows + kCols<kHeadDim>)*kStride<kHeadDim> * sizeof(Bf16);
    const unsigned tiles = blocks_for(q.rows(), kRows);
    const AttentionSizes sizes = sizes_of(shape, q, segments, dout, k, v);
    gpu_launch(stream, query_gradients_mma<kHeadDim, S>,
               dim3(tiles, static_cast<unsigned>(shape.num_heads)), dim3(kThreads), kBytes,
               heads_of<const Bf16>(dout), heads_of<const Bf16>(q), heads_of<const Bf16>(k),
               heads_of<const Bf16>(v), heads_of<const float>(lse), heads_of<const float>(delta),
               segments.as<std::int32_t>(), heads_of<S>(dq), sizes);
    gpu_launch(stream, key_gradients_mma<kHeadDim, S>,
               dim3(tiles, static_cast<unsigned>(shape.num_kv_heads)), dim3(kThreads), kBytes,
               heads_of<const Bf16>(dout), heads_of<const Bf16>(q), heads_of<const Bf16>(k),
               heads_of<const Bf16>(v), heads_of<const float>(lse), heads_of<const float>(delta),
               segments.as<std::int32_t>(), heads_of<S>(dk), heads_of<S>(dv), sizes);
  });
}

}  // namespace finescale::cuda
