// SPDX-License-Identifier: Apache-2.0
// Elementwise: blocks of threads over the packs of a row. Letters: T tokens, F feed-forward width.
#include "kernels/cuda/gelu.h"

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 128;

template <class T>
struct ValueAndSlope {
  T value, slope;
};

// tanh form: x s with s = sigmoid(2 u); derivative s + x s (1 - s) 2 u'. erf form: x Phi;
// derivative Phi + x phi.
template <class T, Gelu kKind>
__device__ __forceinline__ ValueAndSlope<T> gelu_of(T x) {
  if constexpr (kKind == Gelu::kTanh) {
    constexpr T kRoot = T(0.79788456080286535588);  // sqrt(2 / pi)
    constexpr T kCubic = T(0.044715);
    const T s = T(1) / (T(1) + exp(-T(2) * kRoot * x * (T(1) + kCubic * x * x)));
    const T du2 = T(2) * kRoot * (T(1) + T(3) * kCubic * x * x);
    return {x * s, s + x * s * (T(1) - s) * du2};
  } else {
    const T phi = exp(T(-0.5) * x * x) * T(0.39894228040143267794);
    const T cdf = T(0.5) + T(0.5) * erf(x * T(0.70710678118654752440));
    return {x * cdf, cdf + x * phi};
  }
}

// First column of this thread's pack in row blockIdx.x.
template <int kWidth>
__device__ __forceinline__ std::int64_t column() {
  return (static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWidth;
}

// With a gate rows of x hold gate, then up.
template <class T, Gelu kKind, bool kGated, int kWidth>
__global__ void __launch_bounds__(kThreads)
    forward_rows(const T* x, std::int64_t x_stride, T* y, std::int64_t y_stride,
                 std::int64_t width) {
  const std::int64_t t = blockIdx.x;
  const std::int64_t c = column<kWidth>();
  if (c >= width) {
    return;
  }
  const T* row = x + t * x_stride;
  T value[kWidth];
  T up[kWidth];
  load_pack(row + c, value);
  if constexpr (kGated) {
    load_pack(row + width + c, up);
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    value[i] = gelu_of<T, kKind>(value[i]).value;
    if constexpr (kGated) {
      value[i] *= up[i];
    }
  }
  store_pack(value, y + t * y_stride + c);
}

template <class T, Gelu kKind, bool kGated, int kWidth>
__global__ void __launch_bounds__(kThreads)
    backward_rows(const T* dy, std::int64_t dy_stride, const T* x, std::int64_t x_stride, T* dx,
                  std::int64_t dx_stride, std::int64_t width) {
  const std::int64_t t = blockIdx.x;
  const std::int64_t c = column<kWidth>();
  if (c >= width) {
    return;
  }
  const T* row = x + t * x_stride;  // dx may be x: a thread reads what it overwrites
  T grad[kWidth];
  T value[kWidth];
  T up[kWidth];
  load_pack(dy + t * dy_stride + c, grad);
  load_pack(row + c, value);
  if constexpr (kGated) {
    load_pack(row + width + c, up);
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const ValueAndSlope<T> at = gelu_of<T, kKind>(value[i]);
    if constexpr (kGated) {
      value[i] = grad[i] * up[i] * at.slope;
      up[i] = grad[i] * at.value;
    } else {
      value[i] = grad[i] * at.slope;
    }
  }
  T* out = dx + t * dx_stride;
  store_pack(value, out + c);
  if constexpr (kGated) {
    store_pack(up, out + width + c);
  }
}

template <int kWidth>
dim3 grid_of(const TensorView& y) {
  return {static_cast<unsigned>(y.rows()), blocks_for(y.cols(), kThreads * kWidth)};
}

template <class T, Gelu kKind, bool kGated>
void forward(const Stream& stream, const TensorView& x, const TensorView& y) {
  for_width<kPack<T>>(y.cols() % kPack<T> == 0 && lies_on(kPack<T>, x, y), [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(stream, forward_rows<T, kKind, kGated, kWidth>, grid_of<kWidth>(y), dim3(kThreads),
               0, x.as<T>(), x.row_stride, y.as<T>(), y.row_stride, y.cols());
  });
}

template <class T, Gelu kKind, bool kGated>
void backward(const Stream& stream, const TensorView& dy, const TensorView& x,
              const TensorView& dx) {
  for_width<kPack<T>>(dy.cols() % kPack<T> == 0 && lies_on(kPack<T>, dy, x, dx), [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(stream, backward_rows<T, kKind, kGated, kWidth>, grid_of<kWidth>(dy), dim3(kThreads),
               0, dy.as<T>(), dy.row_stride, x.as<T>(), x.row_stride, dx.as<T>(), dx.row_stride,
               dy.cols());
  });
}

template <bool kGated>
void forward_of(const Stream& stream, Gelu kind, const TensorView& x, const TensorView& y) {
  if (y.rows() == 0) {
    return;
  }
  if (y.dtype == DType::kF64) {
    kind == Gelu::kTanh ? forward<double, Gelu::kTanh, kGated>(stream, x, y)
                        : forward<double, Gelu::kErf, kGated>(stream, x, y);
  } else {
    kind == Gelu::kTanh ? forward<float, Gelu::kTanh, kGated>(stream, x, y)
                        : forward<float, Gelu::kErf, kGated>(stream, x, y);
  }
}

template <bool kGated>
void backward_of(const Stream& stream, Gelu kind, const TensorView& dy, const TensorView& x,
                 const TensorView& dx) {
  if (dy.rows() == 0) {
    return;
  }
  if (dy.dtype == DType::kF64) {
    kind == Gelu::kTanh ? backward<double, Gelu::kTanh, kGated>(stream, dy, x, dx)
                        : backward<double, Gelu::kErf, kGated>(stream, dy, x, dx);
  } else {
    kind == Gelu::kTanh ? backward<float, Gelu::kTanh, kGated>(stream, dy, x, dx)
                        : backward<float, Gelu::kErf, kGated>(stream, dy, x, dx);
  }
}

}  // namespace

void gelu_forward(const Stream& stream, Gelu kind, const TensorView& x, const TensorView& y) {
  forward_of<false>(stream, kind, x, y);
}

void gelu_backward(const Stream& stream, Gelu kind, const TensorView& dy, const TensorView& x,
                   const TensorView& dx) {
  backward_of<false>(stream, kind, dy, x, dx);
}

void geglu_forward(const Stream& stream, Gelu kind, const TensorView& gate_up,
                   const TensorView& y) {
  forward_of<true>(stream, kind, gate_up, y);
}

void geglu_backward(const Stream& stream, Gelu kind, const TensorView& dy,
                    const TensorView& gate_up, const TensorView& dgate_up) {
  backward_of<true>(stream, kind, dy, gate_up, dgate_up);
}

}  // namespace finescale::cuda
