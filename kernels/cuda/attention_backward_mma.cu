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

constexpr int kCols = 32;  // keys or queries of a tile that a block goes over

// Of a multiprocessor: left free the compiler aims for more and spills.
template <int kHeadDim>
constexpr int kQueryBlocks = kHeadDim <= 64 ? 4 : 3;
template <int kHeadDim>
constexpr int kKeyBlocks = kHeadDim <= 64 ? 4 - kFewerBlocks : 2;

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
template <int kHeadDim>
__global__ void __launch_bounds__(kThreads, kQueryBlocks<kHeadDim>)
    query_gradients_mma(Heads<const Bf16> dout, Heads<const Bf16> q, Heads<const Bf16> k,
                        Heads<const Bf16> v, Heads<const float> lse, Heads<const float> delta,
                        const std::int32_t* __restrict__ segments, Heads<Bf16> dq,
                        AttentionSizes sizes) {
  constexpr int kKeys = kCols;
  constexpr int kTile = kKeys * kStride<kHeadDim>;
  GPU_DYNAMIC_SHARED(Bf16, queries);
  Bf16* grads = queries + kRows * kStride<kHeadDim>;
  Bf16* keys = grads + kRows * kStride<kHeadDim>;
  Bf16* values = keys + 2 * kTile;
  const int head = static_cast<int>(blockIdx.y);
  const int own = static_cast<int>(threadIdx.x / kWarp) * 16;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kRows;  // longest rows first
  const int end = first + kRows < sizes.tokens ? first + kRows : sizes.tokens;
  k = k.of_head(head / sizes.group, sizes.width);
  v = v.of_head(head / sizes.group, sizes.width);
  int begin = first_seen(sizes, segments, first);
  AsyncCopies copies;
  const auto fetch = [&](int from, int stage) {
    copy_in<kHeadDim, kKeys>(copies, k, from, end, sizes.width, keys + stage * kTile);
    copy_in<kHeadDim, kKeys>(copies, v, from, end, sizes.width, values + stage * kTile);
    copies.end_group();
  };
  copy_in<kHeadDim, kRows>(copies, q.of_head(head, sizes.width), first, end, sizes.width, queries);
  copy_in<kHeadDim, kRows>(copies, dout.of_head(head, sizes.width), first, end, sizes.width, grads);
  fetch(begin, 0);
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
  const int last_row = first + own + 15 < end ? first + own + 15 : end - 1;
  const int all_see_from = first_seen(sizes, segments, last_row);
  for (int stage = 0; begin < end; begin += kKeys, stage ^= 1) {
    copies.wait<0>();
    __syncthreads();  // the tile is there, and the one before has been used
    if (begin + kKeys < end) {
      fetch(begin + kKeys, stage ^ 1);
    }
    float p[kKeys / 8][4];
    float dp[kKeys / 8][4];
    multiply<kHeadDim, kKeys>(queries, keys + stage * kTile, p);
    multiply<kHeadDim, kKeys>(grads, values + stage * kTile, dp);
    const auto weigh = [&](auto whole) {
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int n = begin + 8 * j + lane % 4 * 2 + e % 2;
          const bool visible = whole.value || (n >= seen[e / 2] && n <= token[e / 2]);
          const float weight = power_of_two(fmaf(p[j][e], scale, -level[e / 2]));
          dp[j][e] = visible ? weight * (dp[j][e] - mean[e / 2]) : 0.0F;
        }
      }
    };
    if (begin >= all_see_from && begin + kKeys <= first + own + 1) {
      weigh(std::true_type());
    } else {
      weigh(std::false_type());
    }
    accumulate<kHeadDim, kKeys>(dp, keys + stage * kTile, sums);
  }
  __syncthreads();  // queries have been used
  const float by[2] = {1 / sizes.scale, 1 / sizes.scale};
  store_sums<kHeadDim>(sums, by, first + own, end, sizes.width, queries,
                       dq.of_head(head, sizes.width));
}

// Block (tile of keys, key/value head): over the query heads of the group in order, and of each
// over the queries that see a key of the tile. dk, dv [T, K*D].
template <int kHeadDim>
__global__ void __launch_bounds__(kThreads, kKeyBlocks<kHeadDim>)
    key_gradients_mma(Heads<const Bf16> dout, Heads<const Bf16> q, Heads<const Bf16> k,
                      Heads<const Bf16> v, Heads<const float> lse, Heads<const float> delta,
                      const std::int32_t* __restrict__ segments, Heads<Bf16> dk, Heads<Bf16> dv,
                      AttentionSizes sizes) {
  constexpr int kQueries = kCols;
  constexpr int kTile = kQueries * kStride<kHeadDim>;
  GPU_DYNAMIC_SHARED(Bf16, keys);
  GPU_SHARED(float, levels, [2][kQueries]);
  GPU_SHARED(float, means, [2][kQueries]);
  Bf16* values = keys + kRows * kStride<kHeadDim>;
  Bf16* queries = values + kRows * kStride<kHeadDim>;
  Bf16* grads = queries + 2 * kTile;
  const int kv_head = static_cast<int>(blockIdx.y);
  const int own = static_cast<int>(threadIdx.x / kWarp) * 16;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int first = static_cast<int>(blockIdx.x) * kRows;
  const int last = first + kRows < sizes.tokens ? first + kRows : sizes.tokens;
  const int end = last_seen_by(sizes, segments, last - 1);
  const int tiles = (end - first + kQueries - 1) / kQueries;  // of queries, for each head
  AsyncCopies copies;
  // The tiles of all heads, one after the other: `next` is the one that is fetched next. Its levels
  // and means were read when the one before was fetched, so that nobody waits for them.
  int next_head = kv_head * sizes.group;
  int next = first;
  float level = 0;
  float mean = 0;
  const auto read_levels = [&] {
    const int t = next + static_cast<int>(threadIdx.x);
    const bool there = threadIdx.x < kQueries && t < end && next_head < (kv_head + 1) * sizes.group;
    level = there ? lse.data[t * lse.stride + next_head] * kLog2E : 0.0F;
    mean = there ? delta.data[t * delta.stride + next_head] : 0.0F;
  };
  const auto fetch = [&](int stage) {
    copy_in<kHeadDim, kQueries>(copies, q.of_head(next_head, sizes.width), next, end, sizes.width,
                                queries + stage * kTile);
    copy_in<kHeadDim, kQueries>(copies, dout.of_head(next_head, sizes.width), next, end,
                                sizes.width, grads + stage * kTile);
    copies.end_group();
    if (threadIdx.x < kQueries) {
      levels[stage][threadIdx.x] = level;
      means[stage][threadIdx.x] = mean;
    }
    next += kQueries;
    if (next >= end) {
      next = first;
      ++next_head;
    }
    read_levels();
  };
  read_levels();
  copy_in<kHeadDim, kRows>(copies, k.of_head(kv_head, sizes.width), first, last, sizes.width, keys);
  copy_in<kHeadDim, kRows>(copies, v.of_head(kv_head, sizes.width), first, last, sizes.width,
                           values);
  fetch(0);
  int key[2];
  int seen_by[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    key[r] = first + own + lane / 4 + 8 * r;
    seen_by[r] = key[r] < last ? last_seen_by(sizes, segments, key[r]) : 0;
  }
  const int seen_by_all =
      last_seen_by(sizes, segments, first + own < last ? first + own : last - 1);
  const float scale = sizes.scale * kLog2E;
  float key_sums[kHeadDim / 8][4] = {};
  float value_sums[kHeadDim / 8][4] = {};
  int begin = first;
  for (int i = 0; i < tiles * sizes.group; ++i) {
    const int stage = i % 2;
    copies.wait<0>();
    __syncthreads();  // the tile is there, and the one before has been used
    if (i + 1 < tiles * sizes.group) {
      fetch(stage ^ 1);
    }
    float p[kQueries / 8][4];
    float dp[kQueries / 8][4];
    multiply<kHeadDim, kQueries>(keys, queries + stage * kTile, p);
    multiply<kHeadDim, kQueries>(values, grads + stage * kTile, dp);
    const auto weigh = [&](auto whole) {
#pragma unroll
      for (int j = 0; j < kQueries / 8; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int column = 8 * j + lane % 4 * 2 + e % 2;
          const int t = begin + column;
          const bool visible = whole.value || (t >= key[e / 2] && t < seen_by[e / 2]);
          const float weight = power_of_two(fmaf(p[j][e], scale, -levels[stage][column]));
          p[j][e] = visible ? weight : 0.0F;
          dp[j][e] = p[j][e] * (dp[j][e] - means[stage][column]);
        }
      }
    };
    if (begin >= first + own + 15 && begin + kQueries <= seen_by_all && first + own + 15 < last) {
      weigh(std::true_type());
    } else {
      weigh(std::false_type());
    }
    accumulate<kHeadDim, kQueries>(p, grads + stage * kTile, value_sums);
    accumulate<kHeadDim, kQueries>(dp, queries + stage * kTile, key_sums);
    begin += kQueries;
    if (begin >= end) {
      begin = first;
    }
  }
  __syncthreads();  // keys and values have been used
  const float one[2] = {1, 1};
  const float by[2] = {1 / sizes.scale, 1 / sizes.scale};
  store_sums<kHeadDim>(key_sums, by, first + own, last, sizes.width, keys,
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
  for_mma(shape, [&](auto width) {
    constexpr int kHeadDim = decltype(width)::value;
    constexpr std::size_t kBytes =
        std::size_t{2} * (kRows + 2 * kCols) * kStride<kHeadDim> * sizeof(Bf16);
    const unsigned tiles = blocks_for(q.rows(), kRows);
    const AttentionSizes sizes = sizes_of(shape, q, segments, dout, k, v);
    gpu_launch(stream, query_gradients_mma<kHeadDim>,
               dim3(tiles, static_cast<unsigned>(shape.num_heads)), dim3(kThreads), kBytes,
               heads_of<const Bf16>(dout), heads_of<const Bf16>(q), heads_of<const Bf16>(k),
               heads_of<const Bf16>(v), heads_of<const float>(lse), heads_of<const float>(delta),
               segments.as<std::int32_t>(), heads_of<Bf16>(dq), sizes);
    gpu_launch(stream, key_gradients_mma<kHeadDim>,
               dim3(tiles, static_cast<unsigned>(shape.num_kv_heads)), dim3(kThreads), kBytes,
               heads_of<const Bf16>(dout), heads_of<const Bf16>(q), heads_of<const Bf16>(k),
               heads_of<const Bf16>(v), heads_of<const float>(lse), heads_of<const float>(delta),
               segments.as<std::int32_t>(), heads_of<Bf16>(dk), heads_of<Bf16>(dv), sizes);
  });
}

}  // namespace finescale::cuda
