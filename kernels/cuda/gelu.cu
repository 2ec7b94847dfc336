// SPDX-License-Identifier: Apache-2.0
// Elementwise: blocks of threads over the packs of a row. Letters: T tokens, F feed-forward width.
#include "kernels/cuda/gelu.h"

#include <type_traits>

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
template <class S, Gelu kKind, bool kGated, int kWidth>
__global__ void __launch_bounds__(kThreads)
    forward_rows(const S* x, std::int64_t x_stride, S* y, std::int64_t y_stride,
                 std::int64_t width) {
  const std::int64_t t = blockIdx.x;
  const std::int64_t c = column<kWidth>();
  if (c >= width) {
    return;
  }
  const S* row = x + t * x_stride;
  Compute<S> value[kWidth];
  Compute<S> up[kWidth];
  load_pack(row + c, value);
  if constexpr (kGated) {
    load_pack(row + width + c, up);
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    value[i] = gelu_of<Compute<S>, kKind>(value[i]).value;
    if constexpr (kGated) {
      value[i] *= up[i];
    }
  }
  store_pack(value, y + t * y_stride + c);
}

template <class S, Gelu kKind, bool kGated, int kWidth>
__global__ void __launch_bounds__(kThreads)
    backward_rows(const S* dy, std::int64_t dy_stride, const S* x, std::int64_t x_stride, S* dx,
                  std::int64_t dx_stride, std::int64_t width) {
  const std::int64_t t = blockIdx.x;
  const std::int64_t c = column<kWidth>();
  if (c >= width) {
    return;
  }
  const S* row = x + t * x_stride;  // dx may be x: a thread reads what it overwrites
  Compute<S> grad[kWidth];
  Compute<S> value[kWidth];
  Compute<S> up[kWidth];
  load_pack(dy + t * dy_stride + c, grad);
  load_pack(row + c, value);
  if constexpr (kGated) {
    load_pack(row + width + c, up);
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const ValueAndSlope<Compute<S>> at = gelu_of<Compute<S>, kKind>(value[i]);
    if constexpr (kGated) {
      value[i] = grad[i] * up[i] * at.slope;
      up[i] = grad[i] * at.value;
    } else {
      value[i] = grad[i] * at.slope;
    }
  }
  S* out = dx + t * dx_stride;
  store_pack(value, out + c);
  if constexpr (kGated) {
    store_pack(up, out + width + c);
  }
}

template <int kWidth>
dim3 grid_of(const TensorView& y) {
  return {static_cast<unsigned>(y.rows()), blocks_for(y.cols(), kThreads * kWidth)};
}

template <class S, Gelu kKind, bool kGated>
void forward(const Stream& stream, const TensorView& x, const TensorView& y) {
  for_width<kPack<S>>(y.cols() % kPack<S> == 0 && lies_on(kPack<S>, x, y), [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(stream, forward_rows<S, kKind, kGated, kWidth>, grid_of<kWidth>(y), dim3(kThreads),
               0, x.as<S>(), x.row_stride, y.as<S>(), y.row_stride, y.cols());
  });
}

template <class S, Gelu kKind, bool kGated>
void backward(const Stream& stream, const TensorView& dy, const TensorView& x,
              const TensorView& dx) {
  for_width<kPack<S>>(dy.cols() % kPack<S> == 0 && lies_on(kPack<S>, dy, x, dx), [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(stream, backward_rows<S, kKind, kGated, kWidth>, grid_of<kWidth>(dy), dim3(kThreads),
               0, dy.as<S>(), dy.row_stride, x.as<S>(), x.row_stride, dx.as<S>(), dx.row_stride,
               dy.cols());
  });
}

// run(TypeTag<S>(), std::integral_constant<Gelu, kind>()).
template <class Run>
void for_kind(DType dtype, Gelu kind, const char* operation, const Run& run) {
  for_storage(dtype, operation, [&](auto tag) {
    if (kind == Gelu::kTanh) {
      run(tag, std::integral_constant<Gelu, Gelu::kTanh>());
    } else {
      run(tag, std::integral_constant<Gelu, Gelu::kErf>());
    }
  });
}

template <bool kGated>
void forward_of(const Stream& stream, Gelu kind, const TensorView& x, const TensorView& y) {
  if (y.rows() == 0) {
    return;
  }
  for_kind(y.dtype, kind, "gelu_forward", [&](auto tag, auto known) {
    forward<typename decltype(tag)::type, decltype(known)::value, kGated>(stream, x, y);
  });
}

template <bool kGated>
void backward_of(const Stream& stream, Gelu kind, const TensorView& dy, const TensorView& x,
                 const TensorView& dx) {
  if (dy.rows() == 0) {
    return;
  }
  for_kind(dy.dtype, kind, "gelu_backward", [&](auto tag, auto known) {
    backward<typename decltype(tag)::type, decltype(known)::value, kGated>(stream, dy, x, dx);
  });
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
