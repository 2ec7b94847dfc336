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

constexpr int kCols = 64;  // keys of a tile

// Rows g and g + 8 of a warp's 16 in lane 4 g + t: where they are, what they see, their sums.
struct RowState {
  int token[2];
  int seen[2];
  float top[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};
};

// scores -> weights in units of exp(top); earlier sums are scaled to the new top.
template <int kTiles>
__device__ __forceinline__ void soften(RowState& state, float scale, int begin,
                                       float (&scores)[kCols / 8][4], float (&sums)[kTiles][4]) {
  const int first = begin + static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float top = -INFINITY;
#pragma unroll
    for (int j = 0; j < kCols / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& score = scores[j][2 * r + e];
        const int n = first + 8 * j + e;
        score = n >= state.seen[r] && n <= state.token[r] ? score * scale : -INFINITY;
        top = fmaxf(top, score);
      }
    }
    top = fmaxf(quad_max(top), state.top[r]);
    const float shift = top == -INFINITY ? 0.0F : top;  // nothing seen yet: -inf + inf is NaN
    const float factor = exp2f(state.top[r] - shift);
    float sum = 0;
#pragma unroll
    for (int j = 0; j < kCols / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& score = scores[j][2 * r + e];
        score = exp2f(score - shift);
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

// Block (tile of queries, head). q [T, H*D], k, v [T, K*D], out [T, H*D], lse [T, H].
template <int kHeadDim, class S>
__global__ void __launch_bounds__(kThreads)
    forward_mma(Heads<const Bf16> q, Heads<const Bf16> k, Heads<const Bf16> v,
                const std::int32_t* __restrict__ segments, Heads<S> out, Heads<float> lse,
                AttentionSizes sizes) {
  GPU_SHARED(Bf16, keys, [kCols * kStride<kHeadDim>]);
  GPU_SHARED(Bf16, values, [kCols * kStride<kHeadDim>]);
  const int head = static_cast<int>(blockIdx.y);
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kRows;  // longest rows first
  const int end = first + kRows < sizes.tokens ? first + kRows : sizes.tokens;
  k = k.of_head(head / sizes.group, sizes.width);
  v = v.of_head(head / sizes.group, sizes.width);
  unsigned query[kHeadDim / 16][4];
  copy_in<kHeadDim, kRows>(q.of_head(head, sizes.width), first, end, sizes.width, keys);
  __syncthreads();
#pragma unroll
  for (int d = 0; d < kHeadDim; d += 16) {
    load_matrices(query[d / 16], matrices_by_rows<kHeadDim>(keys, 16 * warp, d));
  }
  RowState state;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    state.token[r] = first + 16 * warp + lane / 4 + 8 * r;
    state.seen[r] = first_seen(sizes, segments, state.token[r] < end ? state.token[r] : end - 1);
  }
  float sums[kHeadDim / 8][4] = {};
  for (int begin = first_seen(sizes, segments, first); begin < end; begin += kCols) {
    __syncthreads();  // the tile before has been used
    copy_in<kHeadDim, kCols>(k, begin, end, sizes.width, keys);
    copy_in<kHeadDim, kCols>(v, begin, end, sizes.width, values);
    __syncthreads();
    float scores[kCols / 8][4] = {};
#pragma unroll
    for (int d = 0; d < kHeadDim; d += 16) {
#pragma unroll
      for (int n = 0; n < kCols; n += 16) {
        unsigned b[4];
        load_matrices(b, matrices_by_columns<kHeadDim>(keys, n, d));
        multiply_add(scores[n / 8], query[d / 16], b[0], b[1]);
        multiply_add(scores[n / 8 + 1], query[d / 16], b[2], b[3]);
      }
    }
    soften(state, sizes.scale * kLog2E, begin, scores, sums);
#pragma unroll
    for (int n = 0; n < kCols; n += 16) {
      const auto& low = scores[n / 8];
      const auto& high = scores[n / 8 + 1];
      const unsigned weights[4] = {bf16_pair(low[0], low[1]), bf16_pair(low[2], low[3]),
                                   bf16_pair(high[0], high[1]), bf16_pair(high[2], high[3])};
#pragma unroll
      for (int d = 0; d < kHeadDim; d += 16) {
        unsigned b[4];
        load_transposed(b, matrices_by_rows<kHeadDim>(values, n, d));
        multiply_add(sums[d / 8], weights, b[0], b[1]);
        multiply_add(sums[d / 8 + 1], weights, b[2], b[3]);
      }
    }
  }
  float total[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    total[r] = quad_sum(state.sum[r]);
    if (state.token[r] < end && lane % 4 == 0) {
      lse.data[state.token[r] * lse.stride + head] = (state.top[r] + log2f(total[r])) * kLn2;
    }
  }
  __syncthreads();  // keys and values have been used
  store_sums<kHeadDim>(sums, total, first + 16 * warp, end, sizes.width, keys,
                       out.of_head(head, sizes.width));
}

template <int kHeadDim, class S>
void launch(const Stream& stream, const AttentionShape& shape, const TensorView& q,
            const TensorView& k, const TensorView& v, const TensorView& segments,
            const TensorView& out, const TensorView& lse) {
  gpu_launch(stream, forward_mma<kHeadDim, S>,
             dim3(blocks_for(q.rows(), kRows), static_cast<unsigned>(shape.num_heads)),
             dim3(kThreads), 0, heads_of<const Bf16>(q), heads_of<const Bf16>(k),
             heads_of<const Bf16>(v), segments.as<std::int32_t>(), heads_of<S>(out),
             heads_of<float>(lse), sizes_of(shape, q, segments, k, v));
}

}  // namespace

bool fits_tensor_cores(const AttentionShape& shape) {
  return shape.head_dim <= 128 && shape.head_dim % kPackOfBf16 == 0;
}

void attention_forward_mma(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                           const TensorView& k, const TensorView& v, const TensorView& segments,
                           const TensorView& out, const TensorView& lse) {
  for_mma(shape, out, [&](auto tag, auto width) {
    using S = typename decltype(tag)::type;
    launch<decltype(width)::value, S>(stream, shape, q, k, v, segments, out, lse);
  });
}

}  // namespace finescale::cuda
