// SPDX-License-Identifier: Apache-2.0
// A block has a tile of rows of x and 64 rows of W, both along K, and goes over K in steps of 128
// bytes of x that are on their way to shared memory while earlier ones are multiplied. With few
// rows it is bound by reading W, once for up to 64 rows; tiles differ in how often memory is read
// and in nothing else. W in bf16 stays so until it is multiplied: its steps have half the bytes, so
// twice as many are on their way. Letters: M rows of x, N rows of W, K columns of both.
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

// Where rows of a step lie in shared memory, in packs of 16 bytes: neither eight neighbouring packs
// that a quarter of a warp writes nor one pack of eight rows that it reads share a bank.
template <class E, int kDepth>
struct StepLayout {
  static constexpr int kPacks = kDepth / kPack<E>;  // of a row
  static constexpr int kBankPacks = 8;              // fill all banks
  static constexpr bool kIsPadded = kPacks == kBankPacks;
  static_assert(kIsPadded || kPacks == kBankPacks / 2);

  // Elements that a row takes.
  static constexpr int kRow = (kPacks + (kIsPadded ? 1 : 0)) * kPack<E>;
  // The first element of a pack of a row. Two short rows fill the banks together; lines of two rows
  // have their packs exchanged, each line in another way.
  [[nodiscard]] __device__ static constexpr int place(int row, int pack) {
    if constexpr (kIsPadded) {
      return row * kRow + pack * kPack<E>;
    } else {
      const int line = row / 2;
      const int in_line = (row % 2 * kPacks + pack) ^ line % kBankPacks;
      return (line * kBankPacks + in_line) * kPack<E>;
    }
  }
};

// kRows x kCols of y, kRowsOfThread x kColsOfThread of a thread; kStages steps of K in shared
// memory, at most 41 KiB. x and y of S, W of B.
template <class S, class B, int kRowsOfBlock, int kRowsOfThread, int kColsOfThread, int kStagesOfK>
struct RowTile {
  static constexpr int kRows = kRowsOfBlock;
  static constexpr int kStages = kStagesOfK;
  static constexpr int kLanes = kCols / kColsOfThread;  // that share a row
  static constexpr int kRowGroups = kRows / kRowsOfThread;
  static constexpr int kThreads = kRowGroups * kLanes;
  static constexpr int kDepth = 128 / static_cast<int>(sizeof(S));  // of K in a step
  using Left = StepLayout<S, kDepth>;
  using Right = StepLayout<B, kDepth>;
};

struct RowSizes {
  std::int64_t rows, cols, inner;  // M, N, K
  std::int64_t x_stride, w_stride, y_stride;
  std::int64_t cut;         // of K
  std::int64_t span;        // of K, of a block: a cut or all
  bool x_packed, w_packed;  // rows can be read in packs
};

// to [kCount][kDepth] = rows [first, first + kCount) of `from` at [begin, begin + kDepth) of K;
// zeros from row `rows` and column `end` on.
template <class T, class Layout, int kCount, class E>
__device__ __forceinline__ void load_step(AsyncCopies& copies, const E* from, std::int64_t stride,
                                          std::int64_t first, std::int64_t rows, std::int64_t begin,
                                          std::int64_t end, bool packed, E* to) {
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kCount * Layout::kPacks; i += T::kThreads) {
    const int row = i / Layout::kPacks;
    const int pack = i % Layout::kPacks;
    const std::int64_t column = begin + pack * kPack<E>;
    const bool in_rows = first + row < rows;
    const E* place = from + (first + row) * stride + column;
    E* own = to + Layout::place(row, pack);
    if (packed) {
      const bool there = in_rows && column < end;
      copies.copy(there ? place : from, own, there);
    } else {
#pragma unroll
      for (int e = 0; e < kPack<E>; ++e) {
        own[e] = in_rows && column + e < end ? place[e] : E{};
      }
    }
  }
}

// sums[i][j] += x row (group + i kRowGroups) . W row (lane + j kLanes), along K. A pack of W meets
// one pack of x or, where its elements are half as wide, two.
template <class T, class S, class B, int kRowsOfThread, int kColsOfThread>
__device__ __forceinline__ void multiply_step(const S* x, const B* w, int group, int lane,
                                              S (&sums)[kRowsOfThread][kColsOfThread]) {
  constexpr int kParts = kPack<B> / kPack<S>;
#pragma unroll 2
  for (int pack = 0; pack < T::Right::kPacks; ++pack) {
    Word<16> packs[kColsOfThread];
#pragma unroll
    for (int j = 0; j < kColsOfThread; ++j) {
      packs[j] =
          *reinterpret_cast<const Word<16>*>(w + T::Right::place(lane + j * T::kLanes, pack));
    }
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      S a[kRowsOfThread][kPack<S>];
#pragma unroll
      for (int i = 0; i < kRowsOfThread; ++i) {
        load_pack(x + T::Left::place(group + i * T::kRowGroups, pack * kParts + part), a[i]);
      }
#pragma unroll
      for (int j = 0; j < kColsOfThread; ++j) {
        B b[kPack<B>];
        memcpy(b, &packs[j], sizeof(b));
#pragma unroll
        for (int e = 0; e < kPack<S>; ++e) {
          const S value = to_compute(b[part * kPack<S> + e]);
#pragma unroll
          for (int i = 0; i < kRowsOfThread; ++i) {
            sums[i][j] = fma(a[i][e], value, sums[i][j]);
          }
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
template <class S, class B, int kRowsOfBlock, int kRowsOfThread, int kColsOfThread, int kStagesOfK>
__global__ void __launch_bounds__(
    RowTile<S, B, kRowsOfBlock, kRowsOfThread, kColsOfThread, kStagesOfK>::kThreads)
    multiply_tiles(const S* __restrict__ x, const B* __restrict__ w, S* __restrict__ y,
                   S* __restrict__ partials, RowSizes sizes, S alpha, S beta) {
  using T = RowTile<S, B, kRowsOfBlock, kRowsOfThread, kColsOfThread, kStagesOfK>;
  GPU_SHARED(S, x_steps, [T::kStages][T::kRows * T::Left::kRow]);
  GPU_SHARED(B, w_steps, [T::kStages][kCols * T::Right::kRow]);
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
    load_step<T, typename T::Right, kCols>(copies, w, sizes.w_stride, first_col, sizes.cols, at,
                                           end, sizes.w_packed, w_steps[step % T::kStages]);
    load_step<T, typename T::Left, T::kRows>(copies, x, sizes.x_stride, first_row, sizes.rows, at,
                                             end, sizes.x_packed, x_steps[step % T::kStages]);
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

template <class S, class B>
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
    using Tile = RowTile<S, B, kRowsOfBlock, kRowsOfThread, kColsOfThread, kStagesOfK>;
    const auto cuts =
        static_cast<unsigned>(partials == nullptr ? 1 : row_gemm_cuts(sizes.inner).count);
    gpu_launch(stream, multiply_tiles<S, B, kRowsOfBlock, kRowsOfThread, kColsOfThread, kStagesOfK>,
               dim3(blocks_for(sizes.rows, kRowsOfBlock), blocks_for(sizes.cols, kCols), cuts),
               dim3(Tile::kThreads), 0, x.as<S>(), w.as<B>(), y.as<S>(), partials, sizes, alpha,
               beta);
  }
  void multiply() const {
    if constexpr (std::is_same_v<B, Bf16>) {
      multiply_narrow();
    } else if (sizes.rows <= 4) {
      launch<4, 4, 1, 4>();
    } else if (sizes.rows <= 16) {
      launch<16, 4, 2, 3>();
    } else if (sizeof(S) == 8 || sizes.rows <= 32) {
      launch<32, 4, 4, 3>();
    } else if constexpr (sizeof(S) == 4) {
      launch<64, 8, 4, 2>();
    }
  }
  // Of W in bf16, of which a byte asks for twice the multiply-adds, also those of rows that are not
  // there: 16 for five would take an H200 longer than its memory, four for one half as long.
  void multiply_narrow() const {
    if (sizes.rows <= 2) {
      launch<2, 2, 1, 8>();
    } else if (sizes.rows <= 4) {
      launch<4, 4, 1, 8>();
    } else if (sizes.rows <= 8) {
      launch<8, 4, 2, 6>();
    } else if (sizes.rows <= 16) {
      launch<16, 4, 2, 6>();
    } else if (sizes.rows <= 32) {
      launch<32, 4, 4, 4>();
    } else {
      launch<64, 8, 4, 3>();
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

template <class S, class B>
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
      .x_packed = inner % kPack<S> == 0 && lies_on(kPack<S>, x),
      .w_packed = inner % kPack<B> == 0 && lies_on(kPack<B>, w)};
  const RowCall<S, B> call{
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
  if (y.dtype == DType::kF32 && w.dtype == DType::kF32) {
    multiply_rows<float, float>(stream, alpha, x, w, beta, y, partials);
  } else if (y.dtype == DType::kF32 && w.dtype == DType::kBf16) {
    multiply_rows<float, Bf16>(stream, alpha, x, w, beta, y, partials);
  } else if (y.dtype == DType::kF64 && w.dtype == DType::kF64) {
    multiply_rows<double, double>(stream, alpha, x, w, beta, y, partials);
  } else {
    throw Error(ErrorKind::kDevice, std::string("no CUDA kernel for row_gemm into ") +
                                        dtype_name(y.dtype) + " with W of " + dtype_name(w.dtype));
  }
}

}  // namespace finescale::cuda
