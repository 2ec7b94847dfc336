// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/rounding.h"

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 128;

// Block (row, part of its columns); a thread has kWidth neighbouring ones.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    round_rows(const float* __restrict__ x, std::int64_t x_stride, Bf16* __restrict__ y,
               std::int64_t y_stride, std::int64_t cols) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t column =
      (static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWidth;
  if (column < cols) {
    float values[kWidth];
    load_some(x + row * x_stride + column, cols - column, values);
    store_some<kWidth, Bf16>(values, cols - column, y + row * y_stride + column);
  }
}

}  // namespace

void round_to_bf16(const Stream& stream, const TensorView& x, const TensorView& y) {
  if (x.num_elements() == 0) {
    return;
  }
  for_width<4>(lies_on(4, x, y), [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(stream, round_rows<kWidth>,
               dim3(static_cast<unsigned>(x.rows()), blocks_for(x.cols(), kThreads * kWidth)),
               dim3(kThreads), 0, x.as<float>(), x.row_stride, y.as<Bf16>(), y.row_stride,
               x.cols());
  });
}

}  // namespace finescale::cuda
