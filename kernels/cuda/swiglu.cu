// SPDX-License-Identifier: Apache-2.0
// Elementwise: blocks of threads over the packs of a row. Letters: T tokens, F feed-forward width.
#include "kernels/cuda/swiglu.h"

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 128;

template <class C>
__device__ __forceinline__ C sigmoid(C x) {
  return C(1) / (C(1) + exp(-x));
}

// First column of this thread's pack in row blockIdx.x.
template <int kWidth>
__device__ __forceinline__ std::int64_t column() {
  return (static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWidth;
}

// gate_up [T, 2F] (gate first), y [T, F].
template <class S, int kWidth>
__global__ void __launch_bounds__(kThreads)
    forward_rows(const S* __restrict__ gate_up, std::int64_t in_stride, S* __restrict__ y,
                 std::int64_t y_stride, std::int64_t width) {
  const std::int64_t t = blockIdx.x;
  const std::int64_t c = column<kWidth>();
  if (c >= width) {
    return;
  }
  const S* row = gate_up + t * in_stride;
  Compute<S> gate[kWidth];
  Compute<S> up[kWidth];
  load_pack(row + c, gate);
  load_pack(row + width + c, up);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    gate[i] = gate[i] * sigmoid(gate[i]) * up[i];
  }
  store_pack(gate, y + t * y_stride + c);
}

// With s = sigmoid(g): dgate = dy u s (1 + g (1 - s)), dup = dy g s. dgate_up may be gate_up: a
// thread reads what it overwrites. y may be null.
template <class S, int kWidth>
__global__ void __launch_bounds__(kThreads)
    backward_rows(const S* __restrict__ dy, std::int64_t dy_stride, const S* gate_up,
                  std::int64_t in_stride, S* dgate_up, std::int64_t out_stride, S* __restrict__ y,
                  std::int64_t y_stride, std::int64_t width) {
  using C = Compute<S>;
  const std::int64_t t = blockIdx.x;
  const std::int64_t c = column<kWidth>();
  if (c >= width) {
    return;
  }
  const S* row = gate_up + t * in_stride;
  C grad[kWidth];
  C gate[kWidth];
  C up[kWidth];
  C product[kWidth];
  load_pack(dy + t * dy_stride + c, grad);
  load_pack(row + c, gate);
  load_pack(row + width + c, up);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const C s = sigmoid(gate[i]);
    const C silu = gate[i] * s;
    product[i] = silu * up[i];
    const C slope = s * fma(gate[i], C(1) - s, C(1));
    gate[i] = grad[i] * up[i] * slope;
    up[i] = grad[i] * silu;
  }
  if (y != nullptr) {
    store_pack(product, y + t * y_stride + c);
  }
  store_pack(gate, dgate_up + t * out_stride + c);
  store_pack(up, dgate_up + t * out_stride + width + c);
}

template <int kWidth>
dim3 grid_of(const TensorView& y) {
  return {static_cast<unsigned>(y.rows()), blocks_for(y.cols(), kThreads * kWidth)};
}

}  // namespace

void swiglu_forward(const Stream& stream, const TensorView& gate_up, const TensorView& y) {
  if (y.num_elements() == 0) {
    return;
  }
  for_storage(y.dtype, "swiglu_forward", [&](auto tag) {
    using S = typename decltype(tag)::type;
    const bool packed = y.cols() % kPack<S> == 0 && lies_on(kPack<S>, gate_up, y);
    for_width<kPack<S>>(packed, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      gpu_launch(stream, forward_rows<S, kWidth>, grid_of<kWidth>(y), dim3(kThreads), 0,
                 gate_up.as<S>(), gate_up.row_stride, y.as<S>(), y.row_stride, y.cols());
    });
  });
}

void swiglu_backward(const Stream& stream, const TensorView& dy, const TensorView& gate_up,
                     const TensorView& dgate_up, const TensorView& y) {
  if (dy.num_elements() == 0) {
    return;
  }
  for_storage(dy.dtype, "swiglu_backward", [&](auto tag) {
    using S = typename decltype(tag)::type;
    const bool packed = dy.cols() % kPack<S> == 0 && lies_on(kPack<S>, dy, gate_up, dgate_up) &&
                        (y.empty() || lies_on(kPack<S>, y));
    for_width<kPack<S>>(packed, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      gpu_launch(stream, backward_rows<S, kWidth>, grid_of<kWidth>(dy), dim3(kThreads), 0,
                 dy.as<S>(), dy.row_stride, gate_up.as<S>(), gate_up.row_stride, dgate_up.as<S>(),
                 dgate_up.row_stride, y.as<S>(), y.row_stride, dy.cols());
    });
  });
}

}  // namespace finescale::cuda
