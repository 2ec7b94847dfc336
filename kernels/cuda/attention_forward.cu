// SPDX-License-Identifier: Apache-2.0
// Online softmax over tiles of keys (Dao 2023), products in f32. Letters: T tokens, H query heads,
// K key/value heads, D head width.
#include <cmath>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

// Largest score and sum of exponentials of a row so far; scores are in units of ln 2. The sum is of
// this lane's columns only.
struct Softmax {
  float top = -INFINITY;
  float sum = 0;
};

// scores -> weights of one row; returns by what earlier sums shrink.
template <int kCount>
__device__ __forceinline__ float soften(Softmax& state, float (&scores)[kCount]) {
  float top = scores[0];
#pragma unroll
  for (int j = 1; j < kCount; ++j) {
    top = fmaxf(top, scores[j]);
  }
  top = fmaxf(row_max(top), state.top);
  const float shift = top == -INFINITY ? 0.0F : top;  // nothing seen yet: -inf + inf is NaN
  const float factor = exp2f(state.top - shift);
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    scores[j] = exp2f(scores[j] - shift);
    sum += scores[j];
  }
  state.sum = fmaf(state.sum, factor, sum);
  state.top = top;
  return factor;
}

// Block (tile of queries, head). q [T, H*D], k, v [T, K*D], out [T, H*D], lse [T, H].
template <class S, int kHeadDim>
__global__ void __launch_bounds__(Tiles<kHeadDim>::kThreads)
    forward_tiles(Heads<const S> q, Heads<const S> k, Heads<const S> v,
                  const std::int32_t* __restrict__ segments, Heads<S> out, Heads<float> lse,
                  AttentionSizes sizes) {
  using G = Tiles<kHeadDim>;
  GPU_DYNAMIC_SHARED(float, queries);
  float* keys = queries + G::kRowFloats;
  float* values = keys + G::kColFloats;
  float* weights = values + G::kColFloats;
  const int head = static_cast<int>(blockIdx.y);
  const int first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * G::kRows;  // longest rows first
  const int end = first + G::kRows < sizes.tokens ? first + G::kRows : sizes.tokens;
  load_tile<kHeadDim, G::kRows>(q.of_head(head, sizes.width), first, end, sizes, queries);
  k = k.of_head(head / sizes.group, sizes.width);
  v = v.of_head(head / sizes.group, sizes.width);
  int seen[G::kRowsOfThread];
  Softmax state[G::kRowsOfThread];
  float sums[G::kRowsOfThread][G::kSums] = {};
#pragma unroll
  for (int i = 0; i < G::kRowsOfThread; ++i) {
    const int t = first + row_group() + i * G::kRowGroups;
    seen[i] = first_seen(sizes, segments, t < end ? t : end - 1);
  }
  const float scale = sizes.scale * kLog2E;
  for (int begin = first_seen(sizes, segments, first); begin < end; begin += G::kCols) {
    __syncthreads();  // the tile before has been used
    load_tile<kHeadDim, G::kCols>(k, begin, end, sizes, keys);
    load_tile<kHeadDim, G::kCols>(v, begin, end, sizes, values);
    __syncthreads();
    float scores[G::kRowsOfThread][G::kColsOfThread];
    multiply<kHeadDim, kHeadDim <= 32 ? 2 : 1>(queries, keys, scores);
#pragma unroll
    for (int i = 0; i < G::kRowsOfThread; ++i) {
      const int t = first + row_group() + i * G::kRowGroups;
#pragma unroll
      for (int j = 0; j < G::kColsOfThread; ++j) {
        const int n = begin + lane_of_row() + j * kLanesOfRow;
        scores[i][j] = n >= seen[i] && n <= t ? scores[i][j] * scale : -INFINITY;
      }
      const float factor = soften(state[i], scores[i]);
#pragma unroll
      for (int m = 0; m < G::kSums; ++m) {
        sums[i][m] *= factor;
      }
    }
    share<kHeadDim>(scores, weights);
    accumulate<kHeadDim>(weights, values, sums);
  }
#pragma unroll
  for (int i = 0; i < G::kRowsOfThread; ++i) {
    const float total = row_sum(state[i].sum);
    const int t = first + row_group() + i * G::kRowGroups;
    if (t < end && lane_of_row() == 0) {
      lse.data[t * lse.stride + head] = (state[i].top + log2f(total)) * kLn2;
    }
#pragma unroll
    for (int m = 0; m < G::kSums; ++m) {
      sums[i][m] /= total;
    }
  }
  store_rows<kHeadDim>(sums, first, end, sizes, out.of_head(head, sizes.width));
}

}  // namespace

void attention_forward(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                       const TensorView& k, const TensorView& v, const TensorView& segments,
                       const TensorView& out, const TensorView& lse) {
  if (q.rows() == 0) {
    return;
  }
  if (q.dtype == DType::kBf16 && fits_tensor_cores(shape) && lies_on(kPackOfBf16, q, k, v, out)) {
    attention_forward_mma(stream, shape, q, k, v, segments, out, lse);
    return;
  }
  for_attention(shape, q, [&](auto tag, auto width) {
    using S = typename decltype(tag)::type;
    constexpr int kHeadDim = decltype(width)::value;
    using G = Tiles<kHeadDim>;
    constexpr int kFloats = G::kRowFloats + 2 * G::kColFloats + G::kWeightFloats;
    gpu_launch(stream, forward_tiles<S, kHeadDim>,
               dim3(blocks_for(q.rows(), G::kRows), static_cast<unsigned>(shape.num_heads)),
               dim3(G::kThreads), kFloats * sizeof(float), heads_of<const S>(q),
               heads_of<const S>(k), heads_of<const S>(v), segments.as<std::int32_t>(),
               heads_of<S>(out), heads_of<float>(lse), sizes_of(shape, q, segments, k, v, out));
  });
}

}  // namespace finescale::cuda
