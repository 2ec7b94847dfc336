// SPDX-License-Identifier: Apache-2.0
// Sums with a fixed order. Letters: n elements, B rows, V columns.
#include "kernels/cuda/reduce.h"

#include <cmath>

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kNormWarps = 4;
constexpr int kParts = 8;  // partial sums of a block of kNormBlock, part of its definition
constexpr int kBlocksOfWarp = static_cast<int>(kWarp) / kParts;
// A warp's blocks lie kParts elements further apart than they are long: its lanes, kParts to a
// block, then read kWarp different banks.
constexpr int kBlock = static_cast<int>(kNormBlock);
constexpr int kBlockStride = kBlock + kParts;

// A warp takes kBlocksOfWarp blocks through shared memory: read in packs, added in the order of the
// CPU twin. sums [ceil(n / kNormBlock)].
template <class S, int kWidth>
__global__ void __launch_bounds__(kWarp* kNormWarps)
    square_blocks(const S* __restrict__ x, std::int64_t count, double* __restrict__ sums) {
  using C = Compute<S>;
  GPU_SHARED(C, values, [kNormWarps][kBlocksOfWarp * kBlockStride]);
  C* own = values[threadIdx.y];
  const int lane = static_cast<int>(threadIdx.x);
  const std::int64_t block =
      (static_cast<std::int64_t>(blockIdx.x) * kNormWarps + threadIdx.y) * kBlocksOfWarp;
  const std::int64_t begin = block * kNormBlock;
#pragma unroll
  for (int first = 0; first < kBlocksOfWarp * kBlock; first += static_cast<int>(kWarp) * kWidth) {
    const int i = first + lane * kWidth;
    C pack[kWidth];
    load_some(x + begin + i, count - begin - i, pack);
    store_pack(pack, own + i / kBlock * kBlockStride + i % kBlock);
  }
  __syncwarp();
  const int sub = lane / kParts;
  const C* mine = own + sub * kBlockStride + lane % kParts;
  double part = 0;
#pragma unroll 8
  for (int i = 0; i < kBlock; i += kParts) {
    const double value = mine[i];
    part += value * value;
  }
#pragma unroll
  for (int distance = 1; distance < kParts; distance *= 2) {
    part += __shfl_xor_sync(kAllLanes, part, distance);
  }
  if (lane % kParts == 0 && (block + sub) * kNormBlock < count) {
    sums[block + sub] = part;
  }
}

// out[i] = x[i].
template <class S>
__global__ void __launch_bounds__(kThreads)
    widen(const S* __restrict__ x, std::int64_t count, double* __restrict__ out) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) {
    out[i] = to_compute(x[i]);
  }
}

// out[b] (+)= sum of values [b kTreeFan, (b + 1) kTreeFan).
__global__ void __launch_bounds__(kThreads)
    sum_level(const double* values, std::int64_t count, double* out, bool is_last) {
  GPU_SHARED(double, parts, [kThreads / kWarp]);
  const std::int64_t begin = blockIdx.x * kTreeFan;
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < kTreeFan && begin + i < count; i += kThreads) {
    sum += values[begin + i];
  }
  sum = block_sum<kThreads>(sum, parts);
  if (threadIdx.x == 0) {
    out[blockIdx.x] = is_last ? out[blockIdx.x] + sum : sum;
  }
}

// y += alpha x; x may be y.
template <class S, int kWidth>
__global__ void __launch_bounds__(kThreads)
    add_scaled(Compute<S> alpha, const S* x, S* y, std::int64_t count) {
  const std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (i >= count) {
    return;
  }
  Compute<S> a[kWidth];
  Compute<S> b[kWidth];
  load_some(x + i, count - i, a);
  load_some(y + i, count - i, b);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    b[e] += alpha * a[e];
  }
  store_some(b, count - i, y + i);
}

template <class C>
struct Best {
  C value;
  std::int32_t index;
};

// The larger; of equal ones the first.
template <class C>
__device__ __forceinline__ Best<C> better(Best<C> a, Best<C> b) {
  const bool second = b.value > a.value || (b.value == a.value && b.index < a.index);
  return second ? b : a;
}

// One block per row of logits [B, V]; a row without a largest (all NaN or -inf) has index 0.
template <class S>
__global__ void __launch_bounds__(kThreads, 4)  // left free it spills f64 on sm_90
    find_largest(const S* __restrict__ logits, std::int64_t stride, std::int32_t* indices,
                 std::int64_t width) {
  using C = Compute<S>;
  GPU_SHARED(Best<C>, parts, [kThreads / kWarp]);
  const S* row = logits + blockIdx.x * stride;
  Best<C> best = {-static_cast<C>(INFINITY), 0};
  for (std::int64_t c = threadIdx.x; c < width; c += kThreads) {
    const C value = to_compute(row[c]);
    if (value > best.value) {
      best = {value, static_cast<std::int32_t>(c)};
    }
  }
#pragma unroll
  for (unsigned distance = kWarp / 2; distance > 0; distance /= 2) {
    Best<C> other;
    other.value = __shfl_xor_sync(kAllLanes, best.value, static_cast<int>(distance));
    other.index = __shfl_xor_sync(kAllLanes, best.index, static_cast<int>(distance));
    best = better(best, other);
  }
  if (threadIdx.x % kWarp == 0) {
    parts[threadIdx.x / kWarp] = best;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 1; i < kThreads / static_cast<int>(kWarp); ++i) {
      best = better(best, parts[i]);
    }
    indices[blockIdx.x] = best.index;
  }
}

}  // namespace

void squared_norm_blocks(const Stream& stream, const TensorView& x, const TensorView& sums) {
  const std::int64_t count = x.num_elements();
  if (count == 0) {
    return;
  }
  for_storage(x.dtype, "squared_norm_blocks", [&](auto tag) {
    using S = typename decltype(tag)::type;
    constexpr int kWidth = kPack<Compute<S>>;  // wider stores would share banks
    for_width<kWidth>(lies_on(kWidth, x), [&](auto width) {
      gpu_launch(stream, square_blocks<S, decltype(width)::value>,
                 dim3(blocks_for(count, kNormBlock * kBlocksOfWarp * kNormWarps)),
                 dim3(kWarp, kNormWarps), 0, x.as<S>(), count, sums.as<double>());
    });
  });
}

void to_double(const Stream& stream, const TensorView& x, const TensorView& out) {
  const std::int64_t count = x.num_elements();
  if (count == 0) {
    return;
  }
  for_storage(x.dtype, "sum", [&](auto tag) {
    using S = typename decltype(tag)::type;
    gpu_launch(stream, widen<S>, dim3(blocks_for(count, kThreads)), dim3(kThreads), 0, x.as<S>(),
               count, out.as<double>());
  });
}

std::int64_t tree_sum_scratch(std::int64_t count) {
  std::int64_t size = 0;
  while (count > kTreeFan) {
    count = (count + kTreeFan - 1) / kTreeFan;
    size += count;
  }
  return size;
}

void tree_sum(const Stream& stream, const TensorView& values, const TensorView& scratch,
              const TensorView& total) {
  const double* level = values.as<double>();
  double* next = scratch.as<double>();
  std::int64_t count = values.num_elements();
  while (count > kTreeFan) {
    const std::int64_t nodes = (count + kTreeFan - 1) / kTreeFan;
    gpu_launch(stream, sum_level, dim3(static_cast<unsigned>(nodes)), dim3(kThreads), 0, level,
               count, next, false);
    level = next;
    next += nodes;
    count = nodes;
  }
  if (count > 0) {
    gpu_launch(stream, sum_level, dim3(1), dim3(kThreads), 0, level, count, total.as<double>(),
               true);
  }
}

void axpy(const Stream& stream, double alpha, const TensorView& x, const TensorView& y) {
  const std::int64_t count = y.num_elements();
  if (count == 0) {
    return;
  }
  for_storage(y.dtype, "axpy", [&](auto tag) {
    using S = typename decltype(tag)::type;
    for_width<kPack<S>>(lies_on(kPack<S>, x, y), [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      gpu_launch(stream, add_scaled<S, kWidth>, dim3(blocks_for(count, kThreads * kWidth)),
                 dim3(kThreads), 0, static_cast<Compute<S>>(alpha), x.as<S>(), y.as<S>(), count);
    });
  });
}

void add_in_place(const Stream& stream, const TensorView& x, const TensorView& y) {
  cuda::axpy(stream, 1, x, y);
}

void argmax_rows(const Stream& stream, const TensorView& logits, const TensorView& indices) {
  if (logits.num_elements() == 0) {
    return;
  }
  for_storage(logits.dtype, "argmax_rows", [&](auto tag) {
    using S = typename decltype(tag)::type;
    gpu_launch(stream, find_largest<S>, dim3(static_cast<unsigned>(logits.rows())), dim3(kThreads),
               0, logits.as<S>(), logits.row_stride, indices.as<std::int32_t>(), logits.cols());
  });
}

}  // namespace finescale::cuda
