// SPDX-License-Identifier: Apache-2.0
// The gradient has no atomics: places are sorted by token, and a token's rows are added in the
// order of their places by the one block that owns the token. Letters: T tokens, C model width, V
// vocabulary, U rows that are added.
#include "kernels/cuda/embedding.h"

#include <cmath>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kTokens = 4;  // of a block, a warp each
constexpr int kThreads = 128;
constexpr int kSortThreads = 256;

// tokens [T], weight [V, C] of E, y [T, C] of S.
template <class E, class S, int kWidth>
__global__ void __launch_bounds__(kWarp* kTokens)
    gather_rows(const std::int32_t* __restrict__ tokens, const E* __restrict__ weight,
                std::int64_t weight_stride, std::int64_t vocabulary, S* __restrict__ y,
                std::int64_t y_stride, std::int64_t rows, std::int64_t width) {
  const std::int64_t t = static_cast<std::int64_t>(blockIdx.x) * kTokens + threadIdx.y;
  if (t >= rows) {
    return;
  }
  const std::int64_t token = tokens[t];
  const bool is_there = token >= 0 && token < vocabulary;
  const auto missing = static_cast<Compute<S>>(token == kNoRow ? 0.0F : NAN);
  for (std::int64_t c = static_cast<std::int64_t>(threadIdx.x) * kWidth; c < width;
       c += kWarp * kWidth) {
    Compute<S> values[kWidth];
    if (is_there) {
      load_pack(weight + token * weight_stride + c, values);
    } else {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        values[i] = missing;
      }
    }
    store_pack(values, y + t * y_stride + c);
  }
}

// A stable sort by counting, T^2 comparisons against tiles in shared memory: 50 us at T = 16k on
// 132 multiprocessors, less than the gradient itself for C >= 1024. order[p]: place of the p-th
// token in sorted order; runs[p]: at the first place of a token how many it has, else 0.
__global__ void __launch_bounds__(kSortThreads)
    sort_places(const std::int32_t* __restrict__ tokens, std::int32_t* __restrict__ order,
                std::int32_t* __restrict__ runs, std::int32_t count) {
  GPU_SHARED(std::int32_t, tile, [kSortThreads]);
  const auto t = static_cast<std::int32_t>(blockIdx.x * kSortThreads + threadIdx.x);
  const std::int32_t mine = t < count ? tokens[t] : 0;
  std::int32_t smaller = 0;
  std::int32_t equal_before = 0;
  std::int32_t equal = 0;
  for (std::int32_t begin = 0; begin < count; begin += kSortThreads) {
    const auto own = begin + static_cast<std::int32_t>(threadIdx.x);
    __syncthreads();
    tile[threadIdx.x] = own < count ? tokens[own] : 0;
    __syncthreads();
    const std::int32_t size = count - begin < kSortThreads ? count - begin : kSortThreads;
#pragma unroll 8
    for (std::int32_t i = 0; i < size; ++i) {
      const std::int32_t other = tile[i];
      smaller += other < mine ? 1 : 0;
      equal += other == mine ? 1 : 0;
      equal_before += other == mine && begin + i < t ? 1 : 0;
    }
  }
  if (t < count) {
    order[smaller + equal_before] = t;
    runs[smaller + equal_before] = equal_before == 0 ? equal : 0;
  }
}

// Block (p, columns): to[token] += its rows of dy, added among themselves first, if the token's run
// begins at p.
template <class S, class G, int kWidth>
__global__ void __launch_bounds__(kThreads)
    add_runs(const std::int32_t* __restrict__ tokens, const std::int32_t* __restrict__ order,
             const std::int32_t* __restrict__ runs, const S* __restrict__ dy,
             std::int64_t dy_stride, G* __restrict__ to, std::int64_t to_stride,
             std::int64_t width) {
  const std::int64_t p = blockIdx.x;
  const std::int32_t run = runs[p];
  const std::int64_t c = (static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWidth;
  if (run == 0 || c >= width) {
    return;
  }
  const std::int64_t token = tokens[order[p]];
  if (token == kNoRow) {
    return;
  }
  G sum[kWidth];
  load_pack(dy + order[p] * dy_stride + c, sum);
#pragma unroll 4
  for (std::int32_t i = 1; i < run; ++i) {
    G more[kWidth];
    load_pack(dy + order[p + i] * dy_stride + c, more);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      sum[e] += more[e];
    }
  }
  G* row = to + token * to_stride + c;
  G total[kWidth];
  load_pack(row, total);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    total[e] += sum[e];
  }
  store_pack(total, row);
}

// Block (u, columns): to[ids[u]] += rows[u]; all ids are different.
template <class G, int kWidth>
__global__ void __launch_bounds__(kThreads)
    add_at(const std::int32_t* __restrict__ ids, const G* __restrict__ rows,
           std::int64_t rows_stride, G* __restrict__ to, std::int64_t to_stride,
           std::int64_t width) {
  const std::int64_t u = blockIdx.x;
  const std::int64_t c = (static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWidth;
  if (c >= width) {
    return;
  }
  G* row = to + ids[u] * to_stride + c;
  G more[kWidth];
  G total[kWidth];
  load_pack(rows + u * rows_stride + c, more);
  load_pack(row, total);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    total[e] += more[e];
  }
  store_pack(total, row);
}

template <class E, class S>
void gather(const Stream& stream, const TensorView& tokens, const TensorView& weight,
            const TensorView& y) {
  // By y, whose elements are the wider ones: wider packs would write it by half sectors.
  const bool packed = y.cols() % kPack<S> == 0 && lies_on(kPack<S>, weight, y);
  for_width<kPack<S>>(packed, [&](auto width) {
    gpu_launch(stream, gather_rows<E, S, decltype(width)::value>,
               dim3(blocks_for(y.rows(), kTokens)), dim3(kWarp, kTokens), 0,
               tokens.as<std::int32_t>(), weight.as<E>(), weight.row_stride, weight.rows(),
               y.as<S>(), y.row_stride, y.rows(), y.cols());
  });
}

template <class S, class G>
void add_gradient(const Stream& stream, const TensorView& tokens, const TensorView& dy,
                  const TensorView& order, const TensorView& to) {
  const std::int64_t count = tokens.num_elements();
  // By the wider type: wider packs would move it by half sectors.
  const bool packed = to.cols() % kPack<G> == 0 && lies_on(kPack<G>, dy, to);
  for_width<kPack<G>>(packed, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(stream, add_runs<S, G, kWidth>,
               dim3(static_cast<unsigned>(count), blocks_for(to.cols(), kThreads * kWidth)),
               dim3(kThreads), 0, tokens.as<std::int32_t>(), order.as<std::int32_t>(),
               order.as<std::int32_t>() + count, dy.as<S>(), dy.row_stride, to.as<G>(),
               to.row_stride, to.cols());
  });
}

template <class G>
void add_rows_of(const Stream& stream, const TensorView& ids, const TensorView& rows,
                 const TensorView& to) {
  const bool packed = to.cols() % kPack<G> == 0 && lies_on(kPack<G>, rows, to);
  for_width<kPack<G>>(packed, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(
        stream, add_at<G, kWidth>,
        dim3(static_cast<unsigned>(ids.num_elements()), blocks_for(to.cols(), kThreads * kWidth)),
        dim3(kThreads), 0, ids.as<std::int32_t>(), rows.as<G>(), rows.row_stride, to.as<G>(),
        to.row_stride, to.cols());
  });
}

}  // namespace

void embedding_forward(const Stream& stream, const TensorView& tokens, const TensorView& weight,
                       const TensorView& y) {
  if (y.num_elements() == 0) {
    return;
  }
  if (y.dtype == DType::kF32 && weight.dtype == DType::kBf16) {
    gather<Bf16, float>(stream, tokens, weight, y);
    return;
  }
  if (weight.dtype != y.dtype) {
    throw Error(ErrorKind::kDevice, std::string("no CUDA kernel for embedding_forward of ") +
                                        dtype_name(weight.dtype) + " into " + dtype_name(y.dtype));
  }
  for_storage(y.dtype, "embedding_forward", [&](auto tag) {
    using S = typename decltype(tag)::type;
    gather<S, S>(stream, tokens, weight, y);
  });
}

void embedding_backward(const Stream& stream, const TensorView& tokens, const TensorView& dy,
                        const TensorView& order, const TensorView& to) {
  const std::int64_t count = tokens.num_elements();
  if (count == 0 || to.cols() == 0) {
    return;
  }
  gpu_launch(stream, sort_places, dim3(blocks_for(count, kSortThreads)), dim3(kSortThreads), 0,
             tokens.as<std::int32_t>(), order.as<std::int32_t>(), order.as<std::int32_t>() + count,
             static_cast<std::int32_t>(count));
  if (to.dtype == DType::kF64 && dy.dtype == DType::kF64) {
    add_gradient<double, double>(stream, tokens, dy, order, to);
  } else if (to.dtype == DType::kF32 && dy.dtype == DType::kF32) {
    add_gradient<float, float>(stream, tokens, dy, order, to);
  } else if (to.dtype == DType::kF32 && dy.dtype == DType::kBf16) {
    add_gradient<Bf16, float>(stream, tokens, dy, order, to);
  } else {
    throw Error(ErrorKind::kDevice, std::string("no CUDA kernel for embedding_backward of ") +
                                        dtype_name(dy.dtype) + " into " + dtype_name(to.dtype));
  }
}

void add_rows(const Stream& stream, const TensorView& ids, const TensorView& rows,
              const TensorView& to) {
  if (rows.num_elements() == 0) {
    return;
  }
  to.dtype == DType::kF64 ? add_rows_of<double>(stream, ids, rows, to)
                          : add_rows_of<float>(stream, ids, rows, to);
}

}  // namespace finescale::cuda
