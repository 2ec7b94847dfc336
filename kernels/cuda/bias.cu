// SPDX-License-Identifier: Apache-2.0
// Elementwise by rows; the gradient is summed by columns. Letters: T tokens, C columns.
#include "kernels/cuda/bias.h"

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kRowThreads = 256;

template <class S>
__global__ void __launch_bounds__(kRowThreads)
    add_rows_of(const Compute<S>* __restrict__ bias, S* y, std::int64_t y_stride,
                std::int64_t width) {
  S* row = y + static_cast<std::int64_t>(blockIdx.x) * y_stride;
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    row[c] = to_storage<S>(to_compute(row[c]) + bias[c]);
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    affine_rows(T factor, T addend, T* x, std::int64_t x_stride, std::int64_t width) {
  T* row = x + static_cast<std::int64_t>(blockIdx.x) * x_stride;
  for (std::int64_t c = threadIdx.x; c < width; c += kRowThreads) {
    row[c] = fma(row[c], factor, addend);
  }
}

// Warp s of a block sums the row blocks s, s + 16, ...; the 16 sums are then added in order.
template <class S>
__global__ void __launch_bounds__(kSumColumns* kSumSlices)
    sum_columns(const S* __restrict__ dy, std::int64_t dy_stride, Compute<S>* __restrict__ dbias,
                std::int64_t rows, std::int64_t width) {
  using T = Compute<S>;
  GPU_SHARED(T, sums, [kSumSlices][kSumColumns]);
  add_column_sums(sums, rows, width, dbias, [&](std::int64_t t, std::int64_t c, T& sum) {
    sum += to_compute(dy[t * dy_stride + c]);
  });
}

template <class T>
void affine(const Stream& stream, double factor, double addend, const TensorView& x) {
  gpu_launch(stream, affine_rows<T>, dim3(static_cast<unsigned>(x.rows())), dim3(kRowThreads), 0,
             static_cast<T>(factor), static_cast<T>(addend), x.as<T>(), x.row_stride, x.cols());
}

}  // namespace

void bias_add(const Stream& stream, const TensorView& bias, const TensorView& y) {
  if (y.rows() == 0) {
    return;
  }
  for_storage(y.dtype, "bias_add", [&](auto tag) {
    using S = typename decltype(tag)::type;
    gpu_launch(stream, add_rows_of<S>, dim3(static_cast<unsigned>(y.rows())), dim3(kRowThreads), 0,
               bias.as<Compute<S>>(), y.as<S>(), y.row_stride, y.cols());
  });
}

void bias_gradient(const Stream& stream, const TensorView& dy, const TensorView& dbias,
                   const TensorView& partials) {
  if (dy.rows() == 0) {
    return;
  }
  for_storage(dy.dtype, "bias_gradient", [&](auto tag) {
    using S = typename decltype(tag)::type;
    using T = Compute<S>;
    sum_columns_of<T>(stream, dy.rows(), dbias, partials, [&](dim3 grid, dim3 block, T* to) {
      gpu_launch(stream, sum_columns<S>, grid, block, 0, dy.as<S>(), dy.row_stride, to, dy.rows(),
                 dy.cols());
    });
  });
}

void affine_in_place(const Stream& stream, double factor, double addend, const TensorView& x) {
  if (x.rows() == 0) {
    return;
  }
  x.dtype == DType::kF64 ? affine<double>(stream, factor, addend, x)
                         : affine<float>(stream, factor, addend, x);
}

}  // namespace finescale::cuda
