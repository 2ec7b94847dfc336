// SPDX-License-Identifier: Apache-2.0
// One block per row forward and backward; the weight's gradient is summed by columns. Letters: T
// tokens, C model width.
#include "kernels/cuda/layernorm.h"

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

namespace {

constexpr int kRowThreads = 256;  // a row of 1-8k elements: 4-32 per thread

// x, residual, y [T, C] with row strides; residual may be null. weight, bias [C], statistics [T,
// 2].
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    forward_rows(T* x, std::int64_t x_stride, const T* residual, std::int64_t residual_stride,
                 const T* __restrict__ weight, const T* __restrict__ bias, T eps, T* y,
                 std::int64_t y_stride, T* statistics, std::int64_t width) {
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
    y[t * y_stride + c] = (row[c] - mean) * scale * weight[c] + bias[c];
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

template <class T>
void forward(const Stream& stream, const TensorView& x, const TensorView& residual,
             const TensorView& weight, const TensorView& bias, double eps, const TensorView& y,
             const TensorView& statistics) {
  gpu_launch(stream, forward_rows<T>, dim3(static_cast<unsigned>(x.rows())), dim3(kRowThreads), 0,
             x.as<T>(), x.row_stride, residual.as<T>(), residual.row_stride, weight.as<T>(),
             bias.as<T>(), static_cast<T>(eps), y.as<T>(), y.row_stride, statistics.as<T>(),
             x.cols());
}

template <class T>
void backward(const Stream& stream, const TensorView& dy, const TensorView& x,
              const TensorView& weight, const TensorView& statistics, const TensorView& dx,
              const TensorView& dweight) {
  if (!dx.empty()) {
    gpu_launch(stream, backward_rows<T>, dim3(static_cast<unsigned>(x.rows())), dim3(kRowThreads),
               0, dy.as<T>(), dy.row_stride, x.as<T>(), x.row_stride, weight.as<T>(),
               statistics.as<T>(), dx.as<T>(), dx.row_stride, x.cols());
  }
  if (!dweight.empty()) {
    gpu_launch(stream, weight_columns<T>, dim3(blocks_for(x.cols(), kSumColumns)),
               dim3(kSumColumns, kSumSlices), 0, dy.as<T>(), dy.row_stride, x.as<T>(), x.row_stride,
               statistics.as<T>(), dweight.as<T>(), x.rows(), x.cols());
  }
}

}  // namespace

void layernorm_forward(const Stream& stream, const TensorView& x, const TensorView& residual,
                       const TensorView& weight, const TensorView& bias, double eps,
                       const TensorView& y, const TensorView& statistics) {
  if (x.rows() == 0) {
    return;
  }
  x.dtype == DType::kF64 ? forward<double>(stream, x, residual, weight, bias, eps, y, statistics)
                         : forward<float>(stream, x, residual, weight, bias, eps, y, statistics);
}

void layernorm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& statistics,
                        const TensorView& dx, const TensorView& dweight) {
  if (x.rows() == 0) {
    return;
  }
  x.dtype == DType::kF64 ? backward<double>(stream, dy, x, weight, statistics, dx, dweight)
                         : backward<float>(stream, dy, x, weight, statistics, dx, dweight);
}

}  // namespace finescale::cuda
