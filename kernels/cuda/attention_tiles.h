// SPDX-License-Identifier: Apache-2.0
// Parts of attention on tiles in shared memory, f32. A block holds a tile of rows (queries; keys
// for the gradients of keys and values) and goes over tiles of columns (the others). Eight lanes
// share a row: lane c of row group r has the products of rows r, r + kRowGroups, ... with columns
// c, c + 8,
// ... Letters: T tokens, H query heads, K key/value heads, D head width, S segments.
#pragma once

#include <cstdint>

#include "core/error.h"
#include "core/tensor.h"
#include "kernels/attention.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

constexpr int kLanesOfRow = 8;
constexpr float kLog2E = 1.44269504088896340736F;
constexpr float kLn2 = 0.69314718055994530942F;

// Sizes by head width (rounded up to a multiple of 32). Rows and columns per thread are as many as
// registers hold: for D = 256 the gradients of keys and values take 128 registers of each thread.
template <int kHeadDim>
struct Tiles {
  static constexpr int kThreads = kHeadDim <= 64 ? 128 : 64;
  static constexpr int kRowsOfThread = kHeadDim <= 128 ? 4 : 2;
  static constexpr int kColsOfThread = kRowsOfThread;
  static constexpr int kRowGroups = kThreads / kLanesOfRow;
  static constexpr int kRows = kRowGroups * kRowsOfThread;
  static constexpr int kCols = kLanesOfRow * kColsOfThread;
  static constexpr int kSums = kHeadDim / kLanesOfRow;  // columns of the head of a thread
  // Floats between rows. A quarter of a warp reads 16 bytes of eight rows: 4 mod 32 spreads them
  // over all banks.
  static constexpr int kStride = kHeadDim + 4;
  // A warp writes eight columns of four rows: 8 mod 32 does the same.
  static constexpr int kWeightStride = kCols + 8;
  static constexpr int kRowFloats = kRows * kStride;
  static constexpr int kColFloats = kCols * kStride;
  static constexpr int kWeightFloats = kRows * kWeightStride;
};

// A matrix of heads, at the first column of one of them.
template <class S>
struct Heads {
  S* data;
  std::int64_t stride;  // of rows
  __device__ Heads of_head(int head, int width) const {
    return {data + static_cast<std::int64_t>(head) * width, stride};
  }
};

struct AttentionSizes {
  int tokens;        // T
  int group;         // H / K
  int width;         // D
  int window;        // 0: none
  int num_segments;  // S
  float scale;
  bool packed;  // rows can be read in packs of four
};

// The segment of token t: segments [S+1].
__device__ __forceinline__ int segment_of(const std::int32_t* segments, int count, int t) {
  int low = 0;
  int high = count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (segments[middle] <= t) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// First token that token t sees; it sees up to itself. Never falls with t.
__device__ __forceinline__ int first_seen(const AttentionSizes& sizes, const std::int32_t* segments,
                                          int t) {
  const int begin = segments[segment_of(segments, sizes.num_segments, t)];
  const int window = t - sizes.window + 1;
  return sizes.window > 0 && window > begin ? window : begin;
}

// Behind the last token that sees token t; the first is itself. Never falls with t.
__device__ __forceinline__ int last_seen_by(const AttentionSizes& sizes,
                                            const std::int32_t* segments, int t) {
  const int end = segments[segment_of(segments, sizes.num_segments, t) + 1];
  return sizes.window > 0 && t < end - sizes.window ? t + sizes.window : end;
}

// tile [kCount][kStride] = rows [first, first + kCount) of x; zeros from row `end` and column
// `width` on, so that nothing that was never written is multiplied.
template <int kHeadDim, int kCount, class S>
__device__ __forceinline__ void load_tile(const Heads<const S>& x, int first, int end,
                                          const AttentionSizes& sizes, float* tile) {
  constexpr int kPacks = kHeadDim / 4;
#pragma unroll 2  // more loads in flight would spill
  for (int i = static_cast<int>(threadIdx.x); i < kCount * kPacks; i += Tiles<kHeadDim>::kThreads) {
    const int row = i / kPacks;
    const int column = i % kPacks * 4;
    float values[4] = {};
    if (first + row < end && column < sizes.width) {
      const S* from = x.data + (first + row) * x.stride + column;
      if (sizes.packed) {
        load_pack(from, values);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          values[e] = column + e < sizes.width ? to_compute(from[e]) : 0.0F;
        }
      }
    }
    store_pack(values, tile + row * Tiles<kHeadDim>::kStride + column);
  }
}

__device__ __forceinline__ int row_group() {
  return static_cast<int>(threadIdx.x) / kLanesOfRow;
}
__device__ __forceinline__ int lane_of_row() {
  return static_cast<int>(threadIdx.x) % kLanesOfRow;
}

// products[i][j] = row i . column j of this thread. kUnroll: how many packs of both are loaded
// ahead, as many as registers last on every architecture.
template <int kHeadDim, int kUnroll = 1, class G = Tiles<kHeadDim>>
__device__ __forceinline__ void multiply(const float* rows, const float* cols,
                                         float (&products)[G::kRowsOfThread][G::kColsOfThread]) {
#pragma unroll
  for (int i = 0; i < G::kRowsOfThread; ++i) {
#pragma unroll
    for (int j = 0; j < G::kColsOfThread; ++j) {
      products[i][j] = 0;
    }
  }
#pragma unroll kUnroll
  for (int d = 0; d < kHeadDim; d += 4) {
    float a[G::kRowsOfThread][4];
    float b[G::kColsOfThread][4];
#pragma unroll
    for (int i = 0; i < G::kRowsOfThread; ++i) {
      load_pack(rows + (row_group() + i * G::kRowGroups) * G::kStride + d, a[i]);
    }
#pragma unroll
    for (int j = 0; j < G::kColsOfThread; ++j) {
      load_pack(cols + (lane_of_row() + j * kLanesOfRow) * G::kStride + d, b[j]);
    }
#pragma unroll
    for (int i = 0; i < G::kRowsOfThread; ++i) {
#pragma unroll
      for (int j = 0; j < G::kColsOfThread; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          products[i][j] = fma(a[i][e], b[j][e], products[i][j]);
        }
      }
    }
  }
}

// Lets all lanes of a row see what they have of it. A row belongs to one warp.
template <int kHeadDim, class G = Tiles<kHeadDim>>
__device__ __forceinline__ void share(const float (&own)[G::kRowsOfThread][G::kColsOfThread],
                                      float* weights) {
  __syncwarp();  // what was shared before has been read
#pragma unroll
  for (int i = 0; i < G::kRowsOfThread; ++i) {
#pragma unroll
    for (int j = 0; j < G::kColsOfThread; ++j) {
      weights[(row_group() + i * G::kRowGroups) * G::kWeightStride + lane_of_row() +
              j * kLanesOfRow] = own[i][j];
    }
  }
  __syncwarp();
}

// sums[i] += sum over columns n of weights[row i][n] cols[n]; of the head's columns a thread has 4
// lane_of_row() to + 3, and so on every 32.
template <int kHeadDim, class G = Tiles<kHeadDim>>
__device__ __forceinline__ void accumulate(const float* weights, const float* cols,
                                           float (&sums)[G::kRowsOfThread][G::kSums]) {
#pragma unroll 1
  for (int n = 0; n < G::kCols; n += 4) {
    float weight[G::kRowsOfThread][4];
#pragma unroll
    for (int i = 0; i < G::kRowsOfThread; ++i) {
      load_pack(weights + (row_group() + i * G::kRowGroups) * G::kWeightStride + n, weight[i]);
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
#pragma unroll
      for (int m = 0; m < G::kSums; m += 4) {
        float value[4];
        load_pack(cols + (n + k) * G::kStride + m * kLanesOfRow + lane_of_row() * 4, value);
#pragma unroll
        for (int i = 0; i < G::kRowsOfThread; ++i) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            sums[i][m + e] = fma(weight[i][k], value[e], sums[i][m + e]);
          }
        }
      }
    }
  }
}

// x[first + row i] = sums[i], for rows before `end`.
template <int kHeadDim, class S, class G = Tiles<kHeadDim>>
__device__ __forceinline__ void store_rows(const float (&sums)[G::kRowsOfThread][G::kSums],
                                           int first, int end, const AttentionSizes& sizes,
                                           const Heads<S>& x) {
#pragma unroll
  for (int i = 0; i < G::kRowsOfThread; ++i) {
    const int row = first + row_group() + i * G::kRowGroups;
    if (row < end) {
#pragma unroll
      for (int m = 0; m < G::kSums; m += 4) {
        const int column = m * kLanesOfRow + lane_of_row() * 4;
        const float values[4] = {sums[i][m], sums[i][m + 1], sums[i][m + 2], sums[i][m + 3]};
        S* to = x.data + row * x.stride + column;
        if (sizes.packed) {
          if (column < sizes.width) {
            store_pack(values, to);
          }
        } else {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            if (column + e < sizes.width) {
              to[e] = to_storage<S>(values[e]);
            }
          }
        }
      }
    }
  }
}

// Sum or maximum over the lanes of a row.
__device__ __forceinline__ float row_sum(float value) {
#pragma unroll
  for (int distance = kLanesOfRow / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}
__device__ __forceinline__ float row_max(float value) {
#pragma unroll
  for (int distance = kLanesOfRow / 2; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

template <class S>
Heads<S> heads_of(const TensorView& x) {
  using Stored = std::remove_const_t<S>;
  FS_CHECK(x.data == nullptr || x.dtype == kDTypeOf<Stored>, "a matrix of another type");
  return {x.as<Stored>(), x.row_stride};
}

template <class... Views>
AttentionSizes sizes_of(const AttentionShape& shape, const TensorView& q,
                        const TensorView& segments, const Views&... views) {
  return {.tokens = static_cast<int>(q.rows()),
          .group = shape.num_heads / shape.num_kv_heads,
          .width = shape.head_dim,
          .window = shape.window,
          .num_segments = static_cast<int>(segments.num_elements()) - 1,
          .scale = static_cast<float>(shape.scale),
          .packed = shape.head_dim % 4 == 0 && lies_on(4, q, views...)};
}

// run(TypeTag<S>(), std::integral_constant<int, D>()) for the storage type and the head width.
template <class Run>
void for_attention(const AttentionShape& shape, const TensorView& q, const Run& run) {
  const auto by_width = [&](auto tag) {
    if (shape.head_dim <= 32) {
      run(tag, std::integral_constant<int, 32>());
    } else if (shape.head_dim <= 64) {
      run(tag, std::integral_constant<int, 64>());
    } else if (shape.head_dim <= 128) {
      run(tag, std::integral_constant<int, 128>());
    } else if (shape.head_dim <= 256) {
      run(tag, std::integral_constant<int, 256>());
    } else {
      throw Error(ErrorKind::kDevice, "no CUDA kernel for attention heads of " +
                                          std::to_string(shape.head_dim) + " columns, at most 256");
    }
  };
  if (q.dtype == DType::kF32) {
    by_width(TypeTag<float>());
  } else if (q.dtype == DType::kBf16) {
    by_width(TypeTag<Bf16>());
  } else {
    throw Error(ErrorKind::kDevice,
                std::string("no CUDA kernel for attention of ") + dtype_name(q.dtype));
  }
}

}  // namespace finescale::cuda
