// SPDX-License-Identifier: Apache-2.0
// A warp has a page of a key/value head and the queries that share it: it reads the page once. Four
// warps, a split of a row's positions, combine what they have in shared memory; rows with several
// splits are combined by a second kernel (Dao 2023). Letters: R new tokens, H query heads, K
// key/value heads, D head width, G = H / K, P positions of a page, Z splits.
#include "kernels/cuda/cached_attention.h"

#include <cmath>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr float kLog2E = 1.44269504088896340736F;
constexpr int kPage = static_cast<int>(kCachePage);
constexpr int kWarps = static_cast<int>(kSplitPages);
constexpr int kThreads = kWarps * static_cast<int>(kWarp);
constexpr int kSplit = kWarps * kPage;  // positions
constexpr int kTile = 32;               // tokens and columns that are stored together
constexpr int kStoreRows = 8;           // of threads
constexpr int kMostWidth = 256;

struct CacheSizes {
  std::int64_t offset;  // of the layer in a page
  int kv_heads;         // K
  int group;            // G
  int width;            // D
  int window;           // 0: none
  int lanes;            // that share a position's values, a power of two
  int query_blocks;     // of a key/value head
  float scale;
};

// In one load: those of neighbours fill their sectors.
__device__ __forceinline__ CachedToken token_at(const CachedToken* tokens, std::int64_t t) {
  static_assert(sizeof(CachedToken) == sizeof(uint4));
  const uint4 word = *reinterpret_cast<const uint4*>(tokens + t);
  CachedToken token;
  memcpy(&token, &word, sizeof token);
  return token;
}

// Block (tokens, columns). Keys are turned in shared memory, so neighbours of a sequence fill the
// sectors of a page's rows. k, v [R, K*D].
__global__ void __launch_bounds__(kTile* kStoreRows)
    store_tokens(const float* __restrict__ k, std::int64_t k_stride, const float* __restrict__ v,
                 std::int64_t v_stride, const CachedToken* __restrict__ tokens,
                 std::int64_t num_tokens, CacheSizes sizes) {
  GPU_SHARED(float, keys, [kTile][kTile + 1]);
  const std::int64_t first_token = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const int first_column = static_cast<int>(blockIdx.y) * kTile;
  const int total = sizes.kv_heads * sizes.width;
  const int x = static_cast<int>(threadIdx.x);
  const int y = static_cast<int>(threadIdx.y);
  const int column = first_column + x;
  for (int i = y; i < kTile; i += kStoreRows) {
    const std::int64_t t = first_token + i;
    if (t < num_tokens && column < total) {
      const CachedToken token = token_at(tokens, t);
      const int position = token.position;
      auto* page = static_cast<float*>(token.pages[position / kPage]) + sizes.offset;
      const int head = column / sizes.width;
      const int place = head * kPage + position % kPage;
      keys[i][x] = k[t * k_stride + column];
      page[total * kPage + place * sizes.width + column % sizes.width] = v[t * v_stride + column];
    }
  }
  __syncthreads();
  const std::int64_t t = first_token + x;
  if (t >= num_tokens) {
    return;
  }
  const CachedToken token = token_at(tokens, t);
  const int position = token.position;
  float* page = static_cast<float*>(token.pages[position / kPage]) + sizes.offset;
  for (int i = y; i < kTile && first_column + i < total; i += kStoreRows) {
    page[(first_column + i) * kPage + position % kPage] = keys[x][i];
  }
}

// Positions of the split and of the whole row that a token sees.
struct Seen {
  int first;  // of the row
  int last;
  __device__ Seen(int position, int window)
      : first(window > 0 && position >= window ? position - window + 1 : 0), last(position) {}
  [[nodiscard]] __device__ bool overlaps(int begin, int count) const {
    return begin <= last && begin + count > first;
  }
};

// scores[g][e] = query g . key column + e of a page, whose keys are [D, P]; lanes 16 apart have the
// same columns and take turns along D.
template <int kQueries>
__device__ __forceinline__ void page_scores(const float* queries, const float* keys, int width,
                                            int half, int column, float (&scores)[kQueries][4]) {
#pragma unroll 4
  for (int d = half; d < width; d += 2) {
    float key[4];
    load_pack(keys + d * kPage + column, key);
#pragma unroll
    for (int g = 0; g < kQueries; ++g) {
      const float q = queries[g * width + d];
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        scores[g][e] = fmaf(q, key[e], scores[g][e]);
      }
    }
  }
#pragma unroll
  for (int g = 0; g < kQueries; ++g) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      scores[g][e] += __shfl_xor_sync(kAllLanes, scores[g][e], 16);
    }
  }
}

// Scores of a page, in units of ln 2, to weights [P]; what is not seen weighs nothing.
struct PageSoftmax {
  float top, sum;
};
__device__ __forceinline__ PageSoftmax soften_page(float (&scores)[4], int position, Seen seen,
                                                   float scale, float* weights) {
  float top = -INFINITY;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const int n = position + e;
    scores[e] = n >= seen.first && n <= seen.last ? scores[e] * scale : -INFINITY;
    top = fmaxf(top, scores[e]);
  }
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2) {
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, distance));
  }
  float sum = 0;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    scores[e] = exp2f(scores[e] - top);
    sum += scores[e];
  }
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, distance);
  }
  if (threadIdx.x % kWarp < kWarp / 2) {
    store_pack(scores, weights);
  }
  return {top, sum};
}

// results [kQueries, D] = weights [kQueries, P] times values [P, D], positions [begin, end) of the
// page; `lanes` of the warp share a position.
template <int kQueries, int kWidth, int kChunks>
__device__ __forceinline__ void page_values(const float* weights, const float* values, int begin,
                                            int end, const CacheSizes& sizes, float* results) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int first_column = lane % sizes.lanes * kWidth;
  const int positions = static_cast<int>(kWarp) / sizes.lanes;  // at once
  constexpr int kStep = static_cast<int>(kWarp) * kWidth;
  float sums[kQueries][kChunks][kWidth] = {};
#pragma unroll 4
  for (int n = begin + lane / sizes.lanes; n < end; n += positions) {
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      const int column = first_column + c * kStep;
      if (column < sizes.width) {
        float value[kWidth];
        load_pack(values + n * sizes.width + column, value);
#pragma unroll
        for (int g = 0; g < kQueries; ++g) {
          const float weight = weights[g * kPage + n];
#pragma unroll
          for (int e = 0; e < kWidth; ++e) {
            sums[g][c][e] = fmaf(weight, value[e], sums[g][c][e]);
          }
        }
      }
    }
  }
#pragma unroll
  for (int g = 0; g < kQueries; ++g) {
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      const int column = first_column + c * kStep;
      for (int distance = static_cast<int>(kWarp) / 2; distance >= sizes.lanes; distance /= 2) {
#pragma unroll
        for (int e = 0; e < kWidth; ++e) {
          sums[g][c][e] += __shfl_xor_sync(kAllLanes, sums[g][c][e], distance);
        }
      }
      if (lane < sizes.lanes && column < sizes.width) {
        store_pack(sums[g][c], results + g * sizes.width + column);
      }
    }
  }
}

// Floats of a block's shared memory.
template <int kQueries>
struct Shared {
  float* weights;  // [warps, kQueries, P]
  float* results;  // [warps, kQueries, D]
  float* queries;  // [kQueries, D]
  float* tops;     // [warps, kQueries]
  float* sums;
  __device__ Shared(float* memory, int width)
      : weights(memory),
        results(weights + kWarps * kQueries * kPage),
        queries(results + kWarps * kQueries * width),
        tops(queries + kQueries * width),
        sums(tops + kWarps * kQueries) {}
  static constexpr std::size_t size_bytes(int width) {
    return static_cast<std::size_t>(kQueries) *
           static_cast<std::size_t>(kWarps * kPage + kWarps * width + width + 2 * kWarps) *
           sizeof(float);
  }
};

// Parts of a sum with exponentials of different tops, in the order in which they are added.
struct Combined {
  float top = -INFINITY;
  float sum = 0;
  float value = 0;
  __device__ __forceinline__ void add(float its_top, float its_sum, float its_value) {
    const float factor = exp2f(its_top - top);
    sum = fmaf(its_sum, factor, sum);
    value = fmaf(its_value, factor, value);
  }
};

// Block (token, key/value head and some of its queries, split). q, out [R, H*D]; partials [R, H, Z,
// D] and statistics [R, H, Z, 2] (top and sum), or null: then to out.
template <int kQueries, int kWidth, int kChunks>
__global__ void __launch_bounds__(kThreads, 4)  // left free it spills on sm_90
    attend_pages(const float* __restrict__ q, std::int64_t q_stride,
                 const CachedToken* __restrict__ tokens, float* __restrict__ out,
                 std::int64_t out_stride, float* __restrict__ partials,
                 float* __restrict__ statistics, CacheSizes sizes) {
  GPU_DYNAMIC_SHARED(float, memory);
  const std::int64_t t = blockIdx.x;
  const CachedToken token = token_at(tokens, t);
  const Seen seen(token.position, sizes.window);
  const int split = static_cast<int>(blockIdx.z);
  if (!seen.overlaps(split * kSplit, kSplit)) {
    return;
  }
  const Shared<kQueries> shared(memory, sizes.width);
  const int kv_head = static_cast<int>(blockIdx.y) / sizes.query_blocks;
  const int first_query = static_cast<int>(blockIdx.y) % sizes.query_blocks * kQueries;
  const int left = sizes.group - first_query;
  const int count = (left < kQueries ? left : kQueries) * sizes.width;
  const int first_column = (kv_head * sizes.group + first_query) * sizes.width;
  const int tid = static_cast<int>(threadIdx.x);
  for (int i = tid; i < kQueries * sizes.width; i += kThreads) {
    shared.queries[i] = i < count ? q[t * q_stride + first_column + i] : 0.0F;
  }
  __syncthreads();
  const int warp = tid / static_cast<int>(kWarp);
  const int lane = tid % static_cast<int>(kWarp);
  const int begin = split * kSplit + warp * kPage;  // position of the warp's page
  if (seen.overlaps(begin, kPage)) {
    const float* page = static_cast<const float*>(token.pages[begin / kPage]) + sizes.offset;
    const int head = kPage * sizes.width;
    float* weights = shared.weights + warp * kQueries * kPage;
    const int column = lane % 16 * 4;
    float scores[kQueries][4] = {};
    page_scores(shared.queries, page + kv_head * head, sizes.width, lane / 16, column, scores);
#pragma unroll
    for (int g = 0; g < kQueries; ++g) {
      const PageSoftmax state =
          soften_page(scores[g], begin + column, seen, sizes.scale, weights + g * kPage + column);
      if (lane == 0) {
        shared.tops[warp * kQueries + g] = state.top;
        shared.sums[warp * kQueries + g] = state.sum;
      }
    }
    __syncwarp();
    page_values<kQueries, kWidth, kChunks>(
        weights, page + (sizes.kv_heads + kv_head) * head,
        seen.first > begin ? seen.first - begin : 0,
        seen.last - begin < kPage ? seen.last - begin + 1 : kPage, sizes,
        shared.results + warp * kQueries * sizes.width);
  }
  __syncthreads();
  for (int i = tid; i < count; i += kThreads) {
    const int g = i / sizes.width;
    Combined all;
    for (int w = 0; w < kWarps; ++w) {
      if (seen.overlaps(split * kSplit + w * kPage, kPage)) {
        all.top = fmaxf(all.top, shared.tops[w * kQueries + g]);
      }
    }
    for (int w = 0; w < kWarps; ++w) {
      if (seen.overlaps(split * kSplit + w * kPage, kPage)) {
        all.add(shared.tops[w * kQueries + g], shared.sums[w * kQueries + g],
                shared.results[w * kQueries * sizes.width + i]);
      }
    }
    if (partials == nullptr) {
      out[t * out_stride + first_column + i] = all.value / all.sum;
    } else {
      const std::int64_t place =
          (t * sizes.kv_heads * sizes.group + kv_head * sizes.group + first_query + g) * gridDim.z +
          split;
      partials[place * sizes.width + i % sizes.width] = all.value;
      if (i % sizes.width == 0) {
        statistics[2 * place] = all.top;
        statistics[2 * place + 1] = all.sum;
      }
    }
  }
}

// Block (token, columns of out [R, H*D]).
__global__ void __launch_bounds__(kThreads)
    combine_splits(const float* __restrict__ partials, const float* __restrict__ statistics,
                   const CachedToken* __restrict__ tokens, float* __restrict__ out,
                   std::int64_t out_stride, int splits, CacheSizes sizes) {
  const std::int64_t t = blockIdx.x;
  const int column = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
  const int heads = sizes.kv_heads * sizes.group;
  if (column >= heads * sizes.width) {
    return;
  }
  const Seen seen(tokens[t].position, sizes.window);
  const int first = seen.first / kSplit;
  const int last = seen.last / kSplit;
  const std::int64_t place = (t * heads + column / sizes.width) * splits;
  const int own = column % sizes.width;
  Combined all;
  for (int z = first; z <= last; ++z) {
    all.top = fmaxf(all.top, statistics[2 * (place + z)]);
  }
#pragma unroll 4
  for (int z = first; z <= last; ++z) {
    all.add(statistics[2 * (place + z)], statistics[2 * (place + z) + 1],
            partials[(place + z) * sizes.width + own]);
  }
  out[t * out_stride + column] = all.value / all.sum;
}

int lanes_of(int packs) {
  int lanes = 1;
  while (lanes < packs && lanes < static_cast<int>(kWarp)) {
    lanes *= 2;
  }
  return lanes;
}

CacheSizes sizes_of(const AttentionShape& shape, std::int64_t offset) {
  return {.offset = offset,
          .kv_heads = shape.num_kv_heads,
          .group = shape.num_heads / shape.num_kv_heads,
          .width = shape.head_dim,
          .window = shape.window,
          .lanes = 0,
          .query_blocks = 1,
          .scale = static_cast<float>(shape.scale) * kLog2E};
}

struct AttendCall {
  const Stream& stream;
  const TensorView& q;
  const TensorView& out;
  const CachedToken* tokens;
  int splits;
  float* partials;  // or null
  float* statistics;
  CacheSizes sizes;

  template <int kQueries, int kWidth, int kChunks>
  void launch() const {
    CacheSizes own = sizes;
    own.query_blocks = (sizes.group + kQueries - 1) / kQueries;
    own.lanes = lanes_of((sizes.width + kWidth - 1) / kWidth);
    gpu_launch(stream, attend_pages<kQueries, kWidth, kChunks>,
               dim3(static_cast<unsigned>(q.rows()),
                    static_cast<unsigned>(sizes.kv_heads * own.query_blocks),
                    static_cast<unsigned>(splits)),
               dim3(kThreads), Shared<kQueries>::size_bytes(sizes.width), q.as<float>(),
               q.row_stride, tokens, out.as<float>(), out.row_stride, partials, statistics, own);
  }
  template <int kQueries>
  void by_width() const {
    if (sizes.width % 4 != 0) {
      launch<kQueries, 1, kMostWidth / static_cast<int>(kWarp)>();
    } else if (sizes.width <= 4 * static_cast<int>(kWarp)) {
      launch<kQueries, 4, 1>();
    } else {
      launch<kQueries, 4, 2>();
    }
  }
  void by_queries() const {
    if (sizes.group == 1) {
      by_width<1>();
    } else if (sizes.group == 2) {
      by_width<2>();
    } else if (sizes.group <= 4) {
      by_width<4>();
    } else {
      by_width<8>();
    }
  }
};

void check_attention(const AttentionShape& shape, const TensorView& x) {
  if (x.dtype != DType::kF32 || shape.head_dim > kMostWidth) {
    throw Error(ErrorKind::kDevice, std::string("no CUDA kernel for cached attention of ") +
                                        dtype_name(x.dtype) + " with heads of " +
                                        std::to_string(shape.head_dim) + " columns");
  }
}

}  // namespace

void cache_store(const Stream& stream, const AttentionShape& shape, const TensorView& k,
                 const TensorView& v, const CachedToken* tokens, std::int64_t offset) {
  check_attention(shape, k);
  if (k.rows() == 0) {
    return;
  }
  gpu_launch(stream, store_tokens, dim3(blocks_for(k.rows(), kTile), blocks_for(k.cols(), kTile)),
             dim3(kTile, kStoreRows), 0, k.as<float>(), k.row_stride, v.as<float>(), v.row_stride,
             tokens, k.rows(), sizes_of(shape, offset));
}

void cached_attention(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                      const CachedToken* tokens, std::int64_t positions, std::int64_t offset,
                      const TensorView& out, const TensorView& scratch) {
  check_attention(shape, q);
  if (q.rows() == 0) {
    return;
  }
  const auto splits = static_cast<int>(attention_splits(positions));
  FS_CHECK(
      scratch.empty() || (scratch.dtype == DType::kF32 &&
                          scratch.num_elements() >= attention_scratch(shape, q.rows(), positions)),
      "too little memory for the parts of attention");
  float* const partials = scratch.as<float>();
  float* const statistics = partials == nullptr
                                ? nullptr
                                : partials + q.rows() * shape.num_heads * splits * shape.head_dim;
  const CacheSizes sizes = sizes_of(shape, offset);
  const AttendCall call{stream, q, out, tokens, splits, partials, statistics, sizes};
  call.by_queries();
  if (partials != nullptr) {
    gpu_launch(stream, combine_splits,
               dim3(static_cast<unsigned>(q.rows()), blocks_for(out.cols(), kThreads)),
               dim3(kThreads), 0, partials, statistics, tokens, out.as<float>(), out.row_stride,
               splits, sizes);
  }
}

}  // namespace finescale::cuda
