// SPDX-License-Identifier: Apache-2.0
// One warp per head of a token forward and backward; the weight's gradient is summed by columns.
// Letters: T tokens, N heads, D head width.
#include "kernels/cuda/head_norm.h"

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kHeads = 4;  // of a block

// Block (t, heads / kHeads); there are `heads`.
template <class S>
__global__ void __launch_bounds__(kWarp* kHeads)
    forward_heads(const S* x, std::int64_t x_stride, const Compute<S>* __restrict__ weight,
                  Compute<S> eps, S* y, std::int64_t y_stride, Compute<S>* rstd, std::int64_t heads,
                  std::int64_t width) {
  using T = Compute<S>;
  const std::int64_t t = blockIdx.x;
  const std::int64_t head = static_cast<std::int64_t>(blockIdx.y) * kHeads + threadIdx.y;
  if (head >= heads) {
    return;
  }
  const S* row = x + t * x_stride + head * width;
  S* out = y + t * y_stride + head * width;
  T squares = 0;
  for (std::int64_t c = threadIdx.x; c < width; c += kWarp) {
    const T value = to_compute(row[c]);
    squares += value * value;
  }
  const T scale = T(1) / sqrt(warp_sum(squares) / static_cast<T>(width) + eps);
  if (threadIdx.x == 0) {
    rstd[t * heads + head] = scale;
  }
  for (std::int64_t c = threadIdx.x; c < width; c += kWarp) {
    out[c] = to_storage<S>(to_compute(row[c]) * scale * weight[c]);
  }
}

// dx = rstd (dy w) - x rstd^3 / D sum(dy w x); a thread reads of dy what it writes of dx.
template <class S>
__global__ void __launch_bounds__(kWarp* kHeads)
    backward_heads(const S* dy, std::int64_t dy_stride, const S* __restrict__ x,
                   std::int64_t x_stride, const Compute<S>* __restrict__ weight,
                   const Compute<S>* __restrict__ rstd, S* dx, std::int64_t dx_stride,
                   std::int64_t heads, std::int64_t width) {
  using T = Compute<S>;
  const std::int64_t t = blockIdx.x;
  const std::int64_t head = static_cast<std::int64_t>(blockIdx.y) * kHeads + threadIdx.y;
  if (head >= heads) {
    return;
  }
  const S* grad = dy + t * dy_stride + head * width;
  const S* row = x + t * x_stride + head * width;
  S* out = dx + t * dx_stride + head * width;
  T dot = 0;
#pragma unroll 2  // more would spill on sm_100
  for (std::int64_t c = threadIdx.x; c < width; c += kWarp) {
    dot += to_compute(grad[c]) * weight[c] * to_compute(row[c]);
  }
  const T scale = rstd[t * heads + head];
  const T back = -warp_sum(dot) * scale * scale * scale / static_cast<T>(width);
  for (std::int64_t c = threadIdx.x; c < width; c += kWarp) {
    out[c] = to_storage<S>(to_compute(grad[c]) * weight[c] * scale + to_compute(row[c]) * back);
  }
}

// Warp s of a block sums the token blocks s, s + 16, ...; the 16 sums are then added in order.
template <class S>
__global__ void __launch_bounds__(kSumColumns* kSumSlices)
    weight_columns(const S* dy, std::int64_t dy_stride, const S* __restrict__ x,
                   std::int64_t x_stride, const Compute<S>* __restrict__ rstd,
                   Compute<S>* __restrict__ dweight, std::int64_t rows, std::int64_t heads,
                   std::int64_t width) {
  using T = Compute<S>;
  GPU_SHARED(T, sums, [kSumSlices][kSumColumns]);
  add_column_sums(sums, rows, width, dweight, [&](std::int64_t t, std::int64_t c, T& sum) {
#pragma unroll 1  // more would spill f64 on sm_90
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::int64_t column = head * width + c;
      sum += to_compute(dy[t * dy_stride + column]) *
             (to_compute(x[t * x_stride + column]) * rstd[t * heads + head]);
    }
  });
}

template <class S>
void forward(const Stream& stream, const TensorView& x, const TensorView& weight, double eps,
             const TensorView& y, const TensorView& rstd) {
  using T = Compute<S>;
  gpu_launch(stream, forward_heads<S>,
             dim3(static_cast<unsigned>(x.rows()), blocks_for(rstd.cols(), kHeads)),
             dim3(kWarp, kHeads), 0, x.as<S>(), x.row_stride, weight.as<T>(), static_cast<T>(eps),
             y.as<S>(), y.row_stride, rstd.as<T>(), rstd.cols(), weight.cols());
}

template <class S>
void backward(const Stream& stream, const TensorView& dy, const TensorView& x,
              const TensorView& weight, const TensorView& rstd, const TensorView& dx,
              const TensorView& dweight, const TensorView& partials) {
  using T = Compute<S>;
  if (!dweight.empty()) {  // first: dx may overwrite dy
    sum_columns_of<T>(stream, x.rows(), dweight, partials, [&](dim3 grid, dim3 block, T* to) {
      gpu_launch(stream, weight_columns<S>, grid, block, 0, dy.as<S>(), dy.row_stride, x.as<S>(),
                 x.row_stride, rstd.as<T>(), to, x.rows(), rstd.cols(), weight.cols());
    });
  }
  if (!dx.empty()) {
    gpu_launch(stream, backward_heads<S>,
               dim3(static_cast<unsigned>(x.rows()), blocks_for(rstd.cols(), kHeads)),
               dim3(kWarp, kHeads), 0, dy.as<S>(), dy.row_stride, x.as<S>(), x.row_stride,
               weight.as<T>(), rstd.as<T>(), dx.as<S>(), dx.row_stride, rstd.cols(), weight.cols());
  }
}

}  // namespace

void head_norm_forward(const Stream& stream, const TensorView& x, const TensorView& weight,
                       double eps, const TensorView& y, const TensorView& rstd) {
  if (x.rows() == 0) {
    return;
  }
  for_storage(x.dtype, "head_norm_forward", [&](auto tag) {
    forward<typename decltype(tag)::type>(stream, x, weight, eps, y, rstd);
  });
}

void head_norm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                        const TensorView& dweight, const TensorView& partials) {
  if (x.rows() == 0) {
    return;
  }
  for_storage(x.dtype, "head_norm_backward", [&](auto tag) {
    backward<typename decltype(tag)::type>(stream, dy, x, weight, rstd, dx, dweight, partials);
  });
}

}  // namespace finescale::cuda
