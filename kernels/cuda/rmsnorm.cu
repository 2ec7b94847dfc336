// SPDX-License-Identifier: Apache-2.0
// One block per row forward and backward; the weight's gradient is summed by columns. Letters: T
// tokens, C model width.
#include "kernels/cuda/rmsnorm.h"

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/fused_columns.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kRowThreads = 256;  // a row of 1-8k elements: 4-32 per thread

// x, residual, y [T, C] with row strides; residual may be null. weight [C], rstd [T]. All but y is
// what S is computed in.
template <class S>
__global__ void __launch_bounds__(kRowThreads)
    forward_rows(Compute<S>* x, std::int64_t x_stride, const Compute<S>* residual,
                 std::int64_t residual_stride, const Compute<S>* __restrict__ weight,
                 Compute<S> eps, S* y, std::int64_t y_stride, Compute<S>* rstd,
                 std::int64_t width) {
  using T = Compute<S>;
  GPU_SHARED(T, parts, [kRowThreads / kWarp]);
  const std::int64_t t = blockIdx.x;
  T* row = x + t * x_stride;
  T squares = 0;
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    T value = row[c];
    if (residual != nullptr) {
      value += residual[t * residual_stride + c];
      row[c] = value;
    }
    squares += value * value;
  }
  const T mean = block_sum<kRowThreads>(squares, parts) / static_cast<T>(width);
  const T scale = T(1) / sqrt(mean + eps);
  if (threadIdx.x == 0) {
    rstd[t] = scale;
  }
  // Each thread reads back only what it wrote itself.
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    y[t * y_stride + c] = to_storage<S>(row[c] * scale * weight[c]);
  }
}

// dx += rstd (dy w) - x rstd^3 / C sum(dy w x)
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    backward_rows(const T* __restrict__ dy, std::int64_t dy_stride, const T* __restrict__ x,
                  std::int64_t x_stride, const T* __restrict__ weight, const T* __restrict__ rstd,
                  T* __restrict__ dx, std::int64_t dx_stride, std::int64_t width) {
  GPU_SHARED(T, parts, [kRowThreads / kWarp]);
  const std::int64_t t = blockIdx.x;
  const T* grad = dy + t * dy_stride;
  const T* row = x + t * x_stride;
  T dot = 0;
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    dot += grad[c] * weight[c] * row[c];
  }
  const T scale = rstd[t];
  const T back =
      -block_sum<kRowThreads>(dot, parts) * scale * scale * scale / static_cast<T>(width);
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    dx[t * dx_stride + c] += grad[c] * weight[c] * scale + row[c] * back;
  }
}

// dweight[c] += sum over t of dy x rstd. Warp s of a block sums the row blocks s, s + 16, ...; the
// 16 sums are then added in order. The order depends on T only.
template <class T>
__global__ void __launch_bounds__(kSumColumns* kSumSlices)
    weight_columns(const T* __restrict__ dy, std::int64_t dy_stride, const T* __restrict__ x,
                   std::int64_t x_stride, const T* __restrict__ rstd, T* __restrict__ dweight,
                   std::int64_t rows, std::int64_t width) {
  GPU_SHARED(T, sums, [kSumSlices][kSumColumns]);
  add_column_sums(sums, rows, width, dweight, [&](std::int64_t t, std::int64_t c, T& sum) {
    sum += dy[t * dy_stride + c] * (x[t * x_stride + c] * rstd[t]);
  });
}

// Both gradients at once: dx as above, and of kFusedRows rows of a block the sums of dy x rstd,
// which go to partials [blocks, C]. A thread has the columns threadIdx.x + i kThreads.
template <int kThreads, int kColumns>
__global__ void __launch_bounds__(kThreads)
    backward_both(const float* __restrict__ dy, std::int64_t dy_stride, const float* __restrict__ x,
                  std::int64_t x_stride, const float* __restrict__ weight,
                  const float* __restrict__ rstd, float* __restrict__ dx, std::int64_t dx_stride,
                  float* __restrict__ partials, std::int64_t rows, std::int64_t width) {
  GPU_SHARED(float, parts, [2][kThreads / kWarp]);
  const std::int64_t first = blockIdx.x * kFusedRows;
  const std::int64_t last = first + kFusedRows < rows ? first + kFusedRows : rows;
  float sums[kColumns] = {};
  for (std::int64_t t = first; t < last; ++t) {
    float g[kColumns];
    float value[kColumns];
    float sum[kColumns];  // read with the others: one wait for memory a row
    float dot = 0;
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const std::int64_t c = threadIdx.x + i * kThreads;
      g[i] = c < width ? dy[t * dy_stride + c] : 0.0F;
      value[i] = c < width ? x[t * x_stride + c] : 0.0F;
      sum[i] = c < width ? dx[t * dx_stride + c] : 0.0F;
    }
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const std::int64_t c = threadIdx.x + i * kThreads;
      const float scaled = c < width ? g[i] * weight[c] : 0.0F;
      sums[i] += g[i] * (value[i] * rstd[t]);
      g[i] = scaled;
      dot += scaled * value[i];
    }
    const float scale = rstd[t];
    const float back = -block_sum<kThreads>(dot, parts[(t - first) % 2]) * scale * scale * scale /
                       static_cast<float>(width);
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const std::int64_t c = threadIdx.x + i * kThreads;
      if (c < width) {
        dx[t * dx_stride + c] = sum[i] + (g[i] * scale + value[i] * back);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    const std::int64_t c = threadIdx.x + i * kThreads;
    if (c < width) {
      partials[blockIdx.x * width + c] = sums[i];
    }
  }
}

template <class S>
void forward(const Stream& stream, const TensorView& x, const TensorView& residual,
             const TensorView& weight, double eps, const TensorView& y, const TensorView& rstd) {
  using T = Compute<S>;
  gpu_launch(stream, forward_rows<S>, dim3(static_cast<unsigned>(x.rows())), dim3(kRowThreads), 0,
             x.as<T>(), x.row_stride, residual.as<T>(), residual.row_stride, weight.as<T>(),
             static_cast<T>(eps), y.as<S>(), y.row_stride, rstd.as<T>(), x.cols());
}

void both(const Stream& stream, const TensorView& dy, const TensorView& x, const TensorView& weight,
          const TensorView& rstd, const TensorView& dx, const TensorView& dweight,
          const TensorView& partials) {
  const auto blocks = static_cast<unsigned>(norm_partials(x.rows()));
  for_columns(x.cols(), [&](auto threads, auto columns) {
    constexpr int kThreads = decltype(threads)::value;
    gpu_launch(stream, backward_both<kThreads, decltype(columns)::value>, dim3(blocks),
               dim3(kThreads), 0, dy.as<float>(), dy.row_stride, x.as<float>(), x.row_stride,
               weight.as<float>(), rstd.as<float>(), dx.as<float>(), dx.row_stride,
               partials.as<float>(), x.rows(), x.cols());
  });
  sum_partials<float>(stream, partials, norm_partials(x.rows()), dweight);
}

template <class T>
void backward(const Stream& stream, const TensorView& dy, const TensorView& x,
              const TensorView& weight, const TensorView& rstd, const TensorView& dx,
              const TensorView& dweight, const TensorView& partials) {
  if (!dx.empty() && !dweight.empty() && dx.dtype == DType::kF32 && x.cols() <= kFusedWidth) {
    both(stream, dy, x, weight, rstd, dx, dweight, partials);
    return;
  }
  if (!dx.empty()) {
    gpu_launch(stream, backward_rows<T>, dim3(static_cast<unsigned>(x.rows())), dim3(kRowThreads),
               0, dy.as<T>(), dy.row_stride, x.as<T>(), x.row_stride, weight.as<T>(), rstd.as<T>(),
               dx.as<T>(), dx.row_stride, x.cols());
  }
  if (!dweight.empty()) {
    sum_columns_of<T>(stream, x.rows(), dweight, partials, [&](dim3 grid, dim3 block, T* to) {
      gpu_launch(stream, weight_columns<T>, grid, block, 0, dy.as<T>(), dy.row_stride, x.as<T>(),
                 x.row_stride, rstd.as<T>(), to, x.rows(), x.cols());
    });
  }
}

}  // namespace

void rmsnorm_forward(const Stream& stream, const TensorView& x, const TensorView& residual,
                     const TensorView& weight, double eps, const TensorView& y,
                     const TensorView& rstd) {
  if (x.rows() == 0) {
    return;
  }
  for_storage(y.dtype, "rmsnorm_forward", [&](auto tag) {
    forward<typename decltype(tag)::type>(stream, x, residual, weight, eps, y, rstd);
  });
}

void rmsnorm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                      const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                      const TensorView& dweight, const TensorView& partials) {
  if (x.rows() == 0) {
    return;
  }
  x.dtype == DType::kF64 ? backward<double>(stream, dy, x, weight, rstd, dx, dweight, partials)
                         : backward<float>(stream, dy, x, weight, rstd, dx, dweight, partials);
}

}  // namespace finescale::cuda
