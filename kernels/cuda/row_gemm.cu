// SPDX-License-Identifier: Apache-2.0
// A block has a tile of rows of x and 64 rows of W, both along K, and goes over K in steps of 128
// bytes that are on their way to shared memory while earlier ones are multiplied. With few rows it
// is bound by reading W, once for up to 64 rows; tiles differ in how often memory is read and in
// nothing else. Letters: M rows of x, N rows of W, K columns of both.
#include "kernels/cuda/row_gemm.h"

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kCols = 64;  // rows of W of a block
constexpr int kAddThreads = 256;
// Blocks that keep a GPU of 132 multiprocessors busy: then none of them needs to share its K.
constexpr std::int64_t kEnoughBlocks = 264;
// With so few rows the cuts' sums are little beside W, and more blocks spread better.
constexpr std::int64_t kFewRows = 8;

// kRows x kCols of y, kRowsOfThread x kColsOfThread of a thread; kStages steps of K in shared
// memory, at most 41 KiB.
template <class S, int kRowsOfBlock, int kRowsOfThread, int kColsOfThread, int kStagesOfK>
struct RowTile {
  static constexpr int kRows = kRowsOfBlock;
  static constexpr int kStages = kStagesOfK;
  static constexpr int kLanes = kCols / kColsOfThread;  // that share a row
  static constexpr int kRowGroups = kRows / kRowsOfThread;
  static constexpr int kThreads = kRowGroups * kLanes;
  static constexpr int kDepth = 128 / static_cast<int>(sizeof(S));  // of K in a step
  static constexpr int kPacks = kDepth / kPack<S>;
  // A quarter of a warp reads a pack of eight rows: 4 mod 32 words spread them over all banks.
  static constexpr int kStride = kDepth + kPack<S>;
};

struct RowSizes {
  std::int64_t rows, cols, inner;  // M, N, K
  std::int64_t x_stride, w_stride, y_stride;
  std::int64_t cut;   // of K
  std::int64_t span;  // of K, of a block: a cut or all
  bool packed;        // rows of x and W can be read in packs
};

// to [kCount][kStride] = rows [first, first + kCount) of `from` at [begin, begin + kDepth) of K;
// zeros from row `rows` and column `end` on.
template <class T, int kCount, class S>
__device__ __forceinline__ void load_step(AsyncCopies& copies, const S* from, std::int64_t stride,
                                          std::int64_t first, std::int64_t rows, std::int64_t begin,
                                          std::int64_t end, bool packed, S* to) {
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kCount * T::kPacks; i += T::kThreads) {
    const int row = i / T::kPacks;
    const int column = i % T::kPacks * kPack<S>;
    const bool in_rows = first + row < rows;
    const S* place = from + (first + row) * stride + begin + column;
    S* own = to + row * T::kStride + column;
    if (packed) {
      const bool there = in_rows && begin + column < end;
      copies.copy(there ? place : from, own, there);
    } else {
#pragma unroll
      for (int e = 0; e < kPack<S>; ++e) {
        own[e] = in_rows && begin + column + e < end ? place[e] : S(0);
      }
    }
  }
}

// sums[i][j] += x row (group + i kRowGroups) . W row (lane + j kLanes), along K.
template <class T, class S, int kRowsOfThread, int kColsOfThread>
__device__ __forceinline__ void multiply_step(const S* x, const S* w, int group, int lane,
                                              S (&sums)[kRowsOfThread][kColsOfThread]) {
#pragma unroll 2
  for (int k = 0; k < T::kDepth; k += kPack<S>) {
    S a[kRowsOfThread][kPack<S>];
#pragma unroll
    for (int i = 0; i < kRowsOfThread; ++i) {
      load_pack(x + (group + i * T::kRowGroups) * T::kStride + k, a[i]);
    }
#pragma unroll
    for (int j = 0; j < kColsOfThread; ++j) {
      S b[kPack<S>];
      load_pack(w + (lane + j * T::kLanes) * T::kStride + k, b);
#pragma unroll
      for (int e = 0; e < kPack<S>; ++e) {
#pragma unroll
        for (int i = 0; i < kRowsOfThread; ++i) {
          sums[i][j] = fma(a[i][e], b[e], sums[i][j]);
        }
      }
    }
  }
}

// alpha sum + beta old; `old` is not read for beta 0.
template <class S>
__device__ __forceinline__ S scaled(S alpha, S sum, S beta, const S* old) {
  const S product = alpha * sum;
  return beta == S(0) ? product : fma(beta, *old, product);
}

// Block (rows, columns, cut or 0). partials [cuts, M, N] or null: then to y.
template <class S, int kRowsOfBlock, int kRowsOfThread, int kColsOfThread, int kStagesOfK>
__global__ void __launch_bounds__(
    RowTile<S, kRowsOfBlock, kRowsOfThread, kColsOfThread, kStagesOfK>::kThreads)
    multiply_tiles(const S* __restrict__ x, const S* __restrict__ w, S* __restrict__ y,
                   S* __restrict__ partials, RowSizes sizes, S alpha, S beta) {
  using T = RowTile<S, kRowsOfBlock, kRowsOfThread, kColsOfThread, kStagesOfK>;
  GPU_SHARED(S, x_steps, [T::kStages][T::kRows * T::kStride]);
  GPU_SHARED(S, w_steps, [T::kStages][kCols * T::kStride]);
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x) * T::kRows;
  const std::int64_t first_col = static_cast<std::int64_t>(blockIdx.y) * kCols;
  const std::int64_t begin = blockIdx.z * sizes.span;
  const std::int64_t end = begin + sizes.span < sizes.inner ? begin + sizes.span : sizes.inner;
  const int lane = static_cast<int>(threadIdx.x) % T::kLanes;
  const int group = static_cast<int>(threadIdx.x) / T::kLanes;
  const auto num_steps = static_cast<int>((end - begin + T::kDepth - 1) / T::kDepth);
  const int steps_of_cut = static_cast<int>(sizes.cut) / T::kDepth;
  AsyncCopies copies;
  const auto load = [&](int step) {
    const std::int64_t at = begin + static_cast<std::int64_t>(step) * T::kDepth;
    load_step<T, kCols>(copies, w, sizes.w_stride, first_col, sizes.cols, at, end, sizes.packed,
                        w_steps[step % T::kStages]);
    load_step<T, T::kRows>(copies, x, sizes.x_stride, first_row, sizes.rows, at, end, sizes.packed,
                           x_steps[step % T::kStages]);
  };
#pragma unroll
  for (int step = 0; step < T::kStages - 1; ++step) {
    if (step < num_steps) {
      load(step);
    }
    copies.end_group();
  }
  S totals[kRowsOfThread][kColsOfThread] = {};
  S sums[kRowsOfThread][kColsOfThread] = {};
  for (int step = 0; step < num_steps; ++step) {
    copies.wait<T::kStages - 2>();
    __syncthreads();  // the step has arrived, and the one before has been multiplied
    if (step + T::kStages - 1 < num_steps) {
      load(step + T::kStages - 1);
    }
    copies.end_group();
    multiply_step<T>(x_steps[step % T::kStages], w_steps[step % T::kStages], group, lane, sums);
    if ((step + 1) % steps_of_cut == 0 || step + 1 == num_steps) {
#pragma unroll
      for (int i = 0; i < kRowsOfThread; ++i) {
#pragma unroll
        for (int j = 0; j < kColsOfThread; ++j) {
          totals[i][j] += sums[i][j];
          sums[i][j] = S(0);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kRowsOfThread; ++i) {
    const std::int64_t row = first_row + group + i * T::kRowGroups;
#pragma unroll
    for (int j = 0; j < kColsOfThread; ++j) {
      const std::int64_t col = first_col + lane + j * T::kLanes;
      if (row < sizes.rows && col < sizes.cols) {
        if (partials != nullptr) {
          partials[(blockIdx.z * sizes.rows + row) * sizes.cols + col] = totals[i][j];
        } else {
          S* to = y + row * sizes.y_stride + col;
          *to = scaled(alpha, totals[i][j], beta, to);
        }
      }
    }
  }
}

// y = alpha x the sum of the cuts + beta y.
template <class S, int kWidth>
__global__ void __launch_bounds__(kAddThreads)
    add_cuts(const S* __restrict__ partials, int cuts, S* __restrict__ y, std::int64_t y_stride,
             std::int64_t rows, std::int64_t cols, S alpha, S beta) {
  const std::int64_t at =
      (static_cast<std::int64_t>(blockIdx.x) * kAddThreads + threadIdx.x) * kWidth;
  if (at >= rows * cols) {
    return;
  }
  S total[kWidth];
  load_pack(partials + at, total);
#pragma unroll 4
  for (int cut = 1; cut < cuts; ++cut) {
    S sum[kWidth];
    load_pack(partials + cut * rows * cols + at, sum);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      total[e] += sum[e];
    }
  }
  S* to = y + at / cols * y_stride + at % cols;
  S old[kWidth] = {};
  if (beta != S(0)) {
    load_pack(to, old);
  }
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    total[e] = scaled(alpha, total[e], beta, &old[e]);
  }
  store_pack(total, to);
}

bool cuts_are_shared(std::int64_t rows, std::int64_t cols, std::int64_t inner) {
  const std::int64_t blocks = ((rows + 63) / 64) * ((cols + kCols - 1) / kCols);
  return row_gemm_cuts(inner).count > 1 && (rows <= kFewRows || blocks < kEnoughBlocks);
}

template <class S>
struct RowCall {
  const Stream& stream;
  const TensorView& x;
  const TensorView& w;
  const TensorView& y;
  S* partials;
  RowSizes sizes;
  S alpha, beta;

  template <int kRowsOfBlock, int kRowsOfThread, int kColsOfThread, int kStagesOfK>
  void launch() const {
    const auto cuts =
        static_cast<unsigned>(partials == nullptr ? 1 : row_gemm_cuts(sizes.inner).count);
    gpu_launch(stream, multiply_tiles<S, kRowsOfBlock, kRowsOfThread, kColsOfThread, kStagesOfK>,
               dim3(blocks_for(sizes.rows, kRowsOfBlock), blocks_for(sizes.cols, kCols), cuts),
               dim3(RowTile<S, kRowsOfBlock, kRowsOfThread, kColsOfThread, kStagesOfK>::kThreads),
               0, x.as<S>(), w.as<S>(), y.as<S>(), partials, sizes, alpha, beta);
  }
  void multiply() const {
    if (sizes.rows <= 4) {
      launch<4, 4, 1, 4>();
    } else if (sizes.rows <= 16) {
      launch<16, 4, 2, 3>();
    } else if (sizeof(S) == 8 || sizes.rows <= 32) {
      launch<32, 4, 4, 3>();
    } else if constexpr (sizeof(S) == 4) {
      launch<64, 8, 4, 2>();
    }
  }
  void add() const {
    if (partials == nullptr) {
      return;
    }
    for_width<kPack<S>>(sizes.cols % kPack<S> == 0 && lies_on(kPack<S>, y), [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      gpu_launch(stream, add_cuts<S, kWidth>,
                 dim3(blocks_for(sizes.rows * sizes.cols, kAddThreads * kWidth)), dim3(kAddThreads),
                 0, partials, static_cast<int>(row_gemm_cuts(sizes.inner).count), y.as<S>(),
                 sizes.y_stride, sizes.rows, sizes.cols, alpha, beta);
    });
  }
};

template <class S>
void multiply_rows(const Stream& stream, double alpha, const TensorView& x, const TensorView& w,
                   double beta, const TensorView& y, const TensorView& partials) {
  const std::int64_t inner = x.cols();
  const RowSizes sizes{
      .rows = y.rows(),
      .cols = y.cols(),
      .inner = inner,
      .x_stride = x.row_stride,
      .w_stride = w.row_stride,
      .y_stride = y.row_stride,
      .cut = row_gemm_cuts(inner).size,
      .span = partials.empty() ? std::max<std::int64_t>(1, inner) : row_gemm_cuts(inner).size,
      .packed = inner % kPack<S> == 0 && lies_on(kPack<S>, x, w)};
  const RowCall<S> call{
      stream, x, w, y, partials.as<S>(), sizes, static_cast<S>(alpha), static_cast<S>(beta)};
  call.multiply();
  call.add();
}

}  // namespace

std::int64_t row_gemm_partials(std::int64_t rows, std::int64_t cols, std::int64_t inner) noexcept {
  return cuts_are_shared(rows, cols, inner) ? row_gemm_cuts(inner).count * rows * cols : 0;
}

void row_gemm(const Stream& stream, double alpha, const TensorView& x, const TensorView& w,
              double beta, const TensorView& y, const TensorView& partials) {
  if (y.num_elements() == 0) {
    return;
  }
  switch (y.dtype) {
    case DType::kF32:
      return multiply_rows<float>(stream, alpha, x, w, beta, y, partials);
    case DType::kF64:
      return multiply_rows<double>(stream, alpha, x, w, beta, y, partials);
    case DType::kBf16:
    case DType::kI32:
      break;
  }
  throw Error(ErrorKind::kDevice,
              std::string("no CUDA kernel for row_gemm of ") + dtype_name(y.dtype));
}

}  // namespace finescale::cuda
