// SPDX-License-Identifier: Apache-2.0
// One warp per head of a token forward and backward; the weight's gradient is summed by columns.
// Letters: T tokens, N heads, D head width.
#include "kernels/cuda/head_norm.h"

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

namespace {

constexpr int kHeads = 4;  // of a block

// Block (t, heads / kHeads); there are `heads`.
template <class T>
__global__ void __launch_bounds__(kWarp* kHeads)
    forward_heads(const T* x, std::int64_t x_stride, const T* __restrict__ weight, T eps, T* y,
                  std::int64_t y_stride, T* rstd, std::int64_t heads, std::int64_t width) {
  const std::int64_t t = blockIdx.x;
  const std::int64_t head = static_cast<std::int64_t>(blockIdx.y) * kHeads + threadIdx.y;
  if (head >= heads) {
    return;
  }
  const T* row = x + t * x_stride + head * width;
  T* out = y + t * y_stride + head * width;
  T squares = 0;
  for (std::int64_t c = threadIdx.x; c < width; c += kWarp) {
    squares += row[c] * row[c];
  }
  const T scale = T(1) / sqrt(warp_sum(squares) / static_cast<T>(width) + eps);
  if (threadIdx.x == 0) {
    rstd[t * heads + head] = scale;
  }
  for (std::int64_t c = threadIdx.x; c < width; c += kWarp) {
    out[c] = row[c] * scale * weight[c];
  }
}

// dx = rstd (dy w) - x rstd^3 / D sum(dy w x); a thread reads of dy what it writes of dx.
template <class T>
__global__ void __launch_bounds__(kWarp* kHeads)
    backward_heads(const T* dy, std::int64_t dy_stride, const T* __restrict__ x,
                   std::int64_t x_stride, const T* __restrict__ weight, const T* __restrict__ rstd,
                   T* dx, std::int64_t dx_stride, std::int64_t heads, std::int64_t width) {
  const std::int64_t t = blockIdx.x;
  const std::int64_t head = static_cast<std::int64_t>(blockIdx.y) * kHeads + threadIdx.y;
  if (head >= heads) {
    return;
  }
  const T* grad = dy + t * dy_stride + head * width;
  const T* row = x + t * x_stride + head * width;
  T* out = dx + t * dx_stride + head * width;
  T dot = 0;
  for (std::int64_t c = threadIdx.x; c < width; c += kWarp) {
    dot += grad[c] * weight[c] * row[c];
  }
  const T scale = rstd[t * heads + head];
  const T back = -warp_sum(dot) * scale * scale * scale / static_cast<T>(width);
  for (std::int64_t c = threadIdx.x; c < width; c += kWarp) {
    out[c] = grad[c] * weight[c] * scale + row[c] * back;
  }
}

// Warp s of a block sums the token blocks s, s + 16, ...; the 16 sums are then added in order.
template <class T>
__global__ void __launch_bounds__(kSumColumns* kSumSlices)
    weight_columns(const T* dy, std::int64_t dy_stride, const T* __restrict__ x,
                   std::int64_t x_stride, const T* __restrict__ rstd, T* __restrict__ dweight,
                   std::int64_t rows, std::int64_t heads, std::int64_t width) {
  GPU_SHARED(T, sums, [kSumSlices][kSumColumns]);
  add_column_sums(sums, rows, width, dweight, [&](std::int64_t t, std::int64_t c, T& sum) {
#pragma unroll 1  // more would spill f64 on sm_90
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::int64_t column = head * width + c;
      sum += dy[t * dy_stride + column] * (x[t * x_stride + column] * rstd[t * heads + head]);
    }
  });
}

template <class T>
void forward(const Stream& stream, const TensorView& x, const TensorView& weight, double eps,
             const TensorView& y, const TensorView& rstd) {
  gpu_launch(stream, forward_heads<T>,
             dim3(static_cast<unsigned>(x.rows()), blocks_for(rstd.cols(), kHeads)),
             dim3(kWarp, kHeads), 0, x.as<T>(), x.row_stride, weight.as<T>(), static_cast<T>(eps),
             y.as<T>(), y.row_stride, rstd.as<T>(), rstd.cols(), weight.cols());
}

template <class T>
void backward(const Stream& stream, const TensorView& dy, const TensorView& x,
              const TensorView& weight, const TensorView& rstd, const TensorView& dx,
              const TensorView& dweight, const TensorView& partials) {
  if (!dweight.empty()) {  // first: dx may overwrite dy
    sum_columns_of<T>(stream, x.rows(), dweight, partials, [&](dim3 grid, dim3 block, T* to) {
      gpu_launch(stream, weight_columns<T>, grid, block, 0, dy.as<T>(), dy.row_stride, x.as<T>(),
                 x.row_stride, rstd.as<T>(), to, x.rows(), rstd.cols(), weight.cols());
    });
  }
  if (!dx.empty()) {
    gpu_launch(stream, backward_heads<T>,
               dim3(static_cast<unsigned>(x.rows()), blocks_for(rstd.cols(), kHeads)),
               dim3(kWarp, kHeads), 0, dy.as<T>(), dy.row_stride, x.as<T>(), x.row_stride,
               weight.as<T>(), rstd.as<T>(), dx.as<T>(), dx.row_stride, rstd.cols(), weight.cols());
  }
}

}  // namespace

void head_norm_forward(const Stream& stream, const TensorView& x, const TensorView& weight,
                       double eps, const TensorView& y, const TensorView& rstd) {
  if (x.rows() == 0) {
    return;
  }
  x.dtype == DType::kF64 ? forward<double>(stream, x, weight, eps, y, rstd)
                         : forward<float>(stream, x, weight, eps, y, rstd);
}

void head_norm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                        const TensorView& dweight, const TensorView& partials) {
  if (x.rows() == 0) {
    return;
  }
  x.dtype == DType::kF64 ? backward<double>(stream, dy, x, weight, rstd, dx, dweight, partials)
                         : backward<float>(stream, dy, x, weight, rstd, dx, dweight, partials);
}

}  // namespace finescale::cuda
