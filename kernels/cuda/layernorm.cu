// SPDX-License-Identifier: Apache-2.0
// One block per row forward and backward; the weight's gradient is summed by columns. Letters: T
// tokens, C model width.
#include "kernels/cuda/layernorm.h"

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/fused_columns.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kRowThreads = 256;  // a row of 1-8k elements: 4-32 per thread

// x, residual, y [T, C] with row strides; residual may be null. weight, bias [C], statistics [T,
// 2]. All but y is what S is computed in.
template <class S>
__global__ void __launch_bounds__(kRowThreads)
    forward_rows(Compute<S>* x, std::int64_t x_stride, const Compute<S>* residual,
                 std::int64_t residual_stride, const Compute<S>* __restrict__ weight,
                 const Compute<S>* __restrict__ bias, Compute<S> eps, S* y, std::int64_t y_stride,
                 Compute<S>* statistics, std::int64_t width) {
  using T = Compute<S>;
  GPU_SHARED(T, parts, [kRowThreads / kWarp]);
  GPU_SHARED(T, more_parts, [kRowThreads / kWarp]);
  const std::int64_t t = blockIdx.x;
  T* row = x + t * x_stride;
  T sum = 0;
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    T value = row[c];
    if (residual != nullptr) {
      value += residual[t * residual_stride + c];
      row[c] = value;
    }
    sum += value;
  }
  const T mean = block_sum<kRowThreads>(sum, parts) / static_cast<T>(width);
  // Each thread reads back only what it wrote itself.
  T squares = 0;
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    const T centred = row[c] - mean;
    squares += centred * centred;
  }
  const T variance = block_sum<kRowThreads>(squares, more_parts) / static_cast<T>(width);
  const T scale = T(1) / sqrt(variance + eps);
  if (threadIdx.x == 0) {
    statistics[2 * t] = mean;
    statistics[2 * t + 1] = scale;
  }
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    y[t * y_stride + c] = to_storage<S>((row[c] - mean) * scale * weight[c] + bias[c]);
  }
}

// With n = (x - mean) rstd and g = dy w: dx += rstd (g - mean(g) - n mean(g n)).
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    backward_rows(const T* __restrict__ dy, std::int64_t dy_stride, const T* __restrict__ x,
                  std::int64_t x_stride, const T* __restrict__ weight,
                  const T* __restrict__ statistics, T* __restrict__ dx, std::int64_t dx_stride,
                  std::int64_t width) {
  GPU_SHARED(T, parts, [kRowThreads / kWarp]);
  GPU_SHARED(T, more_parts, [kRowThreads / kWarp]);
  const std::int64_t t = blockIdx.x;
  const T* grad = dy + t * dy_stride;
  const T* row = x + t * x_stride;
  const T mean = statistics[2 * t];
  const T scale = statistics[2 * t + 1];
  T sum = 0;
  T dot = 0;
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    const T g = grad[c] * weight[c];
    sum += g;
    dot += g * ((row[c] - mean) * scale);
  }
  const T mean_g = block_sum<kRowThreads>(sum, parts) / static_cast<T>(width);
  const T mean_gn = block_sum<kRowThreads>(dot, more_parts) / static_cast<T>(width);
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    const T normed = (row[c] - mean) * scale;
    dx[t * dx_stride + c] += (grad[c] * weight[c] - mean_g - normed * mean_gn) * scale;
  }
}

// dweight[c] += sum over t of dy n. Warp s of a block sums the row blocks s, s + 16, ...; the 16
// sums are then added in order. The order depends on T only.
template <class T>
__global__ void __launch_bounds__(kSumColumns* kSumSlices)
    weight_columns(const T* __restrict__ dy, std::int64_t dy_stride, const T* __restrict__ x,
                   std::int64_t x_stride, const T* __restrict__ statistics, T* __restrict__ dweight,
                   std::int64_t rows, std::int64_t width) {
  GPU_SHARED(T, sums, [kSumSlices][kSumColumns]);
  add_column_sums(sums, rows, width, dweight, [&](std::int64_t t, std::int64_t c, T& sum) {
    sum +=
        dy[t * dy_stride + c] * ((x[t * x_stride + c] - statistics[2 * t]) * statistics[2 * t + 1]);
  });
}

// Both gradients at once: dx as above, and of kFusedRows rows of a block the sums of dy n, which go
// to partials [blocks, C]. A thread has the columns threadIdx.x + i kThreads.
template <int kThreads, int kColumns>
__global__ void __launch_bounds__(kThreads)
    backward_both(const float* __restrict__ dy, std::int64_t dy_stride, const float* __restrict__ x,
                  std::int64_t x_stride, const float* __restrict__ weight,
                  const float* __restrict__ statistics, float* __restrict__ dx,
                  std::int64_t dx_stride, float* __restrict__ partials, std::int64_t rows,
                  std::int64_t width) {
  GPU_SHARED(float, parts, [2][kThreads / kWarp]);
  GPU_SHARED(float, more_parts, [2][kThreads / kWarp]);
  const std::int64_t first = blockIdx.x * kFusedRows;
  const std::int64_t last = first + kFusedRows < rows ? first + kFusedRows : rows;
  float sums[kColumns] = {};
  for (std::int64_t t = first; t < last; ++t) {
    const float mean = statistics[2 * t];
    const float scale = statistics[2 * t + 1];
    float g[kColumns];
    float normed[kColumns];
    float before[kColumns];  // read with the others: one wait for memory a row
    float sum = 0;
    float dot = 0;
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const std::int64_t c = threadIdx.x + i * kThreads;
      g[i] = c < width ? dy[t * dy_stride + c] : 0.0F;
      normed[i] = c < width ? (x[t * x_stride + c] - mean) * scale : 0.0F;
      before[i] = c < width ? dx[t * dx_stride + c] : 0.0F;
    }
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const std::int64_t c = threadIdx.x + i * kThreads;
      sums[i] += g[i] * normed[i];
      g[i] = c < width ? g[i] * weight[c] : 0.0F;
      sum += g[i];
      dot += g[i] * normed[i];
    }
    const auto n = static_cast<float>(width);
    const float mean_g = block_sum<kThreads>(sum, parts[(t - first) % 2]) / n;
    const float mean_gn = block_sum<kThreads>(dot, more_parts[(t - first) % 2]) / n;
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const std::int64_t c = threadIdx.x + i * kThreads;
      if (c < width) {
        dx[t * dx_stride + c] = before[i] + (g[i] - mean_g - normed[i] * mean_gn) * scale;
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
             const TensorView& weight, const TensorView& bias, double eps, const TensorView& y,
             const TensorView& statistics) {
  using T = Compute<S>;
  gpu_launch(stream, forward_rows<S>, dim3(static_cast<unsigned>(x.rows())), dim3(kRowThreads), 0,
             x.as<T>(), x.row_stride, residual.as<T>(), residual.row_stride, weight.as<T>(),
             bias.as<T>(), static_cast<T>(eps), y.as<S>(), y.row_stride, statistics.as<T>(),
             x.cols());
}

void both(const Stream& stream, const TensorView& dy, const TensorView& x, const TensorView& weight,
          const TensorView& statistics, const TensorView& dx, const TensorView& dweight,
          const TensorView& partials) {
  const auto blocks = static_cast<unsigned>(norm_partials(x.rows()));
  for_columns(x.cols(), [&](auto threads, auto columns) {
    constexpr int kThreads = decltype(threads)::value;
    gpu_launch(stream, backward_both<kThreads, decltype(columns)::value>, dim3(blocks),
               dim3(kThreads), 0, dy.as<float>(), dy.row_stride, x.as<float>(), x.row_stride,
               weight.as<float>(), statistics.as<float>(), dx.as<float>(), dx.row_stride,
               partials.as<float>(), x.rows(), x.cols());
  });
  sum_partials<float>(stream, partials, norm_partials(x.rows()), dweight);
}

template <class T>
void backward(const Stream& stream, const TensorView& dy, const TensorView& x,
              const TensorView& weight, const TensorView& statistics, const TensorView& dx,
              const TensorView& dweight, const TensorView& partials) {
  if (!dx.empty() && !dweight.empty() && dx.dtype == DType::kF32 && x.cols() <= kFusedWidth) {
    both(stream, dy, x, weight, statistics, dx, dweight, partials);
    return;
  }
  if (!dx.empty()) {
    gpu_launch(stream, backward_rows<T>, dim3(static_cast<unsigned>(x.rows())), dim3(kRowThreads),
               0, dy.as<T>(), dy.row_stride, x.as<T>(), x.row_stride, weight.as<T>(),
               statistics.as<T>(), dx.as<T>(), dx.row_stride, x.cols());
  }
  if (!dweight.empty()) {
    sum_columns_of<T>(stream, x.rows(), dweight, partials, [&](dim3 grid, dim3 block, T* to) {
      gpu_launch(stream, weight_columns<T>, grid, block, 0, dy.as<T>(), dy.row_stride, x.as<T>(),
                 x.row_stride, statistics.as<T>(), to, x.rows(), x.cols());
    });
  }
}

}  // namespace

void layernorm_forward(const Stream& stream, const TensorView& x, const TensorView& residual,
                       const TensorView& weight, const TensorView& bias, double eps,
                       const TensorView& y, const TensorView& statistics) {
  if (x.rows() == 0) {
    return;
  }
  for_storage(y.dtype, "layernorm_forward", [&](auto tag) {
    forward<typename decltype(tag)::type>(stream, x, residual, weight, bias, eps, y, statistics);
  });
}

void layernorm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& statistics,
                        const TensorView& dx, const TensorView& dweight,
                        const TensorView& partials) {
  if (x.rows() == 0) {
    return;
  }
  x.dtype == DType::kF64
      ? backward<double>(stream, dy, x, weight, statistics, dx, dweight, partials)
      : backward<float>(stream, dy, x, weight, statistics, dx, dweight, partials);
}

}  // namespace finescale::cuda
