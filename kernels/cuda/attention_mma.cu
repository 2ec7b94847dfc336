// SPDX-License-Identifier: Apache-2.0
// A warp has 16 queries; scores come out of the tensor cores where they go in again as weights (Dao
// 2023, FlashAttention-2), so they never pass through shared memory. Letters: T tokens, H query
// heads, K key/value heads, D head width.
#include "kernels/cuda/attention_mma.h"

#include <cmath>

#include "kernels/cuda/attention_mma_tiles.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/mma.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

using namespace mma;

// Keys of a tile, as many as registers last for.
template <int kHeadDim>
constexpr int kCols = kHeadDim <= 64 ? 64 : 32;

// Rows g and g + 8 of a warp's 16 in lane 4 g + t: where they are, what they see, their sums.
struct RowState {
  int token[2];
  int seen[2];
  float top[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};
};

// scores -> weights in units of 2^top, scores times `scale` (positive) being the exponents; earlier
// sums are scaled to the new top. kWhole: every row sees every key of the tile.
template <bool kWhole, int kKeys, int kTiles>
__device__ __forceinline__ void soften(RowState& state, float scale, int begin,
                                       float (&scores)[kKeys / 8][4], float (&sums)[kTiles][4]) {
  const int first = begin + static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float top = -INFINITY;
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& score = scores[j][2 * r + e];
        const int n = first + 8 * j + e;
        score = kWhole || (n >= state.seen[r] && n <= state.token[r]) ? score : -INFINITY;
        top = fmaxf(top, score);
      }
    }
    top = fmaxf(quad_max(top) * scale, state.top[r]);
    const float shift = top == -INFINITY ? 0.0F : top;  // nothing seen yet: -inf + inf is NaN
    const float factor = power_of_two(state.top[r] - shift);
    float sum = 0;
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& score = scores[j][2 * r + e];
        score = power_of_two(fmaf(score, scale, -shift));
        sum += score;
      }
    }
    state.sum[r] = fmaf(state.sum[r], factor, sum);
    state.top[r] = top;
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      sums[m][2 * r] *= factor;
      sums[m][2 * r + 1] *= factor;
    }
  }
}

// Of a multiprocessor.
template <int kHeadDim>
constexpr int kBlocks = kHeadDim <= 64 ? 3 : 3 - kFewerBlocks;

// Of a tile of keys or values in shared memory; there are two of each: one is filled while the
// other is multiplied.
template <int kHeadDim>
constexpr int kTileSize = kCols<kHeadDim>* kStride<kHeadDim>;
// Queries lie where the second tiles will: in the keys' and, when that is too small, the values'.
template <int kHeadDim>
constexpr std::size_t kSharedBytes = std::size_t{4} * kTileSize<kHeadDim> * sizeof(Bf16);

// Block (tile of queries, head). q [T, H*D], k, v [T, K*D], out [T, H*D], lse [T, H].
template <int kHeadDim>
__global__ void __launch_bounds__(kThreads, kBlocks<kHeadDim>)
    forward_mma(Heads<const Bf16> q, Heads<const Bf16> k, Heads<const Bf16> v,
                const std::int32_t* __restrict__ segments, Heads<Bf16> out, Heads<float> lse,
                AttentionSizes sizes) {
  constexpr int kKeys = kCols<kHeadDim>;
  GPU_DYNAMIC_SHARED(Bf16, first_tiles);  // of keys and values, then the second ones
  Bf16* const second_tiles = first_tiles + 2 * kTileSize<kHeadDim>;
  static_assert(kRows * kStride<kHeadDim> <= 2 * kTileSize<kHeadDim>);
  const int head = static_cast<int>(blockIdx.y);
  const int own = static_cast<int>(threadIdx.x / kWarp) * 16;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kRows;  // longest rows first
  const int end = first + kRows < sizes.tokens ? first + kRows : sizes.tokens;
  k = k.of_head(head / sizes.group, sizes.width);
  v = v.of_head(head / sizes.group, sizes.width);
  int begin = first_seen(sizes, segments, first);
  AsyncCopies copies;
  const auto fetch = [&](int from, Bf16* tiles) {
    copy_in<kHeadDim, kKeys>(copies, k, from, end, sizes.width, tiles);
    copy_in<kHeadDim, kKeys>(copies, v, from, end, sizes.width, tiles + kTileSize<kHeadDim>);
    copies.end_group();
  };
  Bf16* const queries = second_tiles;  // until they are needed
  copy_in<kHeadDim, kRows>(copies, q.of_head(head, sizes.width), first, end, sizes.width, queries);
  copies.end_group();
  fetch(begin, first_tiles);
  copies.wait<1>();
  __syncthreads();
  unsigned query[kHeadDim / 16][4];
#pragma unroll
  for (int d = 0; d < kHeadDim; d += 16) {
    load_matrices(query[d / 16], matrices_by_rows<kHeadDim>(queries, own, d));
  }
  RowState state;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    state.token[r] = first + own + lane / 4 + 8 * r;
    state.seen[r] = first_seen(sizes, segments, state.token[r] < end ? state.token[r] : end - 1);
  }
  const int last_row = first + own + 15 < end ? first + own + 15 : end - 1;
  const int all_see_from = first_seen(sizes, segments, last_row);
  float sums[kHeadDim / 8][4] = {};
  Bf16* tiles = first_tiles;
  Bf16* others = second_tiles;
  for (; begin < end; begin += kKeys) {
    copies.wait<0>();
    __syncthreads();  // the tiles are there, and those before have been used
    if (begin + kKeys < end) {
      fetch(begin + kKeys, others);
    }
    float scores[kKeys / 8][4] = {};
#pragma unroll
    for (int d = 0; d < kHeadDim; d += 16) {
#pragma unroll
      for (int n = 0; n < kKeys; n += 16) {
        unsigned b[4];
        load_matrices(b, matrices_by_columns<kHeadDim>(tiles, n, d));
        multiply_add(scores[n / 8], query[d / 16], b[0], b[1]);
        multiply_add(scores[n / 8 + 1], query[d / 16], b[2], b[3]);
      }
    }
    if (begin >= all_see_from && begin + kKeys <= first + own + 1) {
      soften<true, kKeys>(state, sizes.scale * kLog2E, begin, scores, sums);
    } else {
      soften<false, kKeys>(state, sizes.scale * kLog2E, begin, scores, sums);
    }
    accumulate<kHeadDim, kKeys>(scores, tiles + kTileSize<kHeadDim>, sums);
    Bf16* const used = tiles;
    tiles = others;
    others = used;
  }
  float total[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    total[r] = quad_sum(state.sum[r]);
    if (state.token[r] < end && lane % 4 == 0) {
      lse.data[state.token[r] * lse.stride + head] = (state.top[r] + log2f(total[r])) * kLn2;
    }
  }
  __syncthreads();  // keys have been used
  store_sums<kHeadDim>(sums, total, first + own, end, sizes.width, first_tiles,
                       out.of_head(head, sizes.width));
}

}  // namespace

bool fits_tensor_cores(const AttentionShape& shape) {
  return shape.head_dim <= 128 && shape.head_dim % kPackOfBf16 == 0;
}

void attention_forward_mma(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                           const TensorView& k, const TensorView& v, const TensorView& segments,
                           const TensorView& out, const TensorView& lse) {
  for_mma(shape, [&](auto width) {
    constexpr int kHeadDim = decltype(width)::value;
    gpu_launch(stream, forward_mma<kHeadDim>,
               dim3(blocks_for(q.rows(), kRows), static_cast<unsigned>(shape.num_heads)),
               dim3(kThreads), kSharedBytes<kHeadDim>, heads_of<const Bf16>(q),
               heads_of<const Bf16>(k), heads_of<const Bf16>(v), segments.as<std::int32_t>(),
               heads_of<Bf16>(out), heads_of<float>(lse), sizes_of(shape, q, segments, k, v));
  });
}

}  // namespace finescale::cuda
