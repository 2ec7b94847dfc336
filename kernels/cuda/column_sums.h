// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of a matrix, column by column, in an order that depends on its shape only:
// gradients of weights and biases of norms and projections. Of many rows the sums of kSumRows each
// go to scratch first and are added then.
#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/partial_sums.h"

namespace finescale::cuda {

// A block of kSumColumns x kSumSlices threads takes kSumColumns columns: a warp reads neighbouring
// ones, the warps take turns at blocks of rows.
constexpr int kSumColumns = 32;
constexpr int kSumSlices = 16;
constexpr std::int64_t kSumRowBlock = 64;  // rounding grows with T / 64, as in the CPU twin

// Sum over rows [first, last) of what add(t, c, sum) adds to its sum; thread (x, 0) gets that of
// column c. All threads of a block enter.
template <class T, class Add>
__device__ __forceinline__ T column_sum(T (&sums)[kSumSlices][kSumColumns], std::int64_t first,
                                        std::int64_t last, std::int64_t c, std::int64_t width,
                                        Add add) {
  T total = 0;
  if (c < width) {
    for (std::int64_t begin = first + threadIdx.y * kSumRowBlock; begin < last;
         begin += kSumSlices * kSumRowBlock) {
      const std::int64_t end = begin + kSumRowBlock < last ? begin + kSumRowBlock : last;
      T sum = 0;
#pragma unroll 4  // more would spill f64 on sm_90
      for (std::int64_t t = begin; t < end; ++t) {
        add(t, c, sum);
      }
      total += sum;
    }
  }
  sums[threadIdx.y][threadIdx.x] = total;
  __syncthreads();
  T sum = sums[0][threadIdx.x];
  for (int slice = 1; slice < kSumSlices; ++slice) {
    sum += sums[slice][threadIdx.x];
  }
  return sum;
}

// Block (columns, part of the rows): out[c] += the sum of all rows when there is one part, else
// out[part][c] = that of the part.
template <class T, class Add>
__device__ __forceinline__ void add_column_sums(T (&sums)[kSumSlices][kSumColumns],
                                                std::int64_t rows, std::int64_t width, T* out,
                                                Add add) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kSumColumns + threadIdx.x;
  const std::int64_t first = blockIdx.y * kSumRows;
  const std::int64_t last = first + kSumRows < rows ? first + kSumRows : rows;
  const T sum = column_sum(sums, first, last, c, width, add);
  if (threadIdx.y == 0 && c < width) {
    T& to = out[blockIdx.y * width + c];
    to = gridDim.y == 1 ? to + sum : sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kSumColumns* kSumSlices)
    add_partial_sums(const T* __restrict__ partials, std::int64_t count, T* __restrict__ out,
                     std::int64_t width) {
  GPU_SHARED(T, sums, [kSumSlices][kSumColumns]);
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kSumColumns + threadIdx.x;
  const T sum = column_sum(sums, 0, count, c, width, [&](std::int64_t t, std::int64_t of, T& to) {
    to += partials[t * width + of];
  });
  if (threadIdx.y == 0 && c < width) {
    out[c] += sum;
  }
}

// out [C] += the sums of partials [count, C].
template <class T>
void sum_partials(const Stream& stream, const TensorView& partials, std::int64_t count,
                  const TensorView& out) {
  gpu_launch(stream, add_partial_sums<T>, dim3(blocks_for(out.num_elements(), kSumColumns)),
             dim3(kSumColumns, kSumSlices), 0, partials.as<T>(), count, out.as<T>(),
             out.num_elements());
}

// out [C] += column sums of `rows` rows. launch(grid, block, to) starts a kernel that calls
// add_column_sums; partials [column_partials(rows), C].
template <class T, class Launch>
void sum_columns_of(const Stream& stream, std::int64_t rows, const TensorView& out,
                    const TensorView& partials, const Launch& launch) {
  const unsigned parts = blocks_for(rows, kSumRows);
  launch(dim3(blocks_for(out.num_elements(), kSumColumns), parts), dim3(kSumColumns, kSumSlices),
         parts == 1 ? out.as<T>() : partials.as<T>());
  if (parts > 1) {
    sum_partials<T>(stream, partials, parts, out);
  }
}

}  // namespace finescale::cuda
