// SPDX-License-Identifier: Apache-2.0
#include "kernels/layernorm.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void layernorm_forward(const Stream& stream, const TensorView& x, const TensorView& residual,
                       const TensorView& weight, const TensorView& bias, double eps,
                       const TensorView& y, const TensorView& statistics) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"layernorm_forward",
                      {x.rows(), x.cols()},
                      0,
                      bytes_of(x, y, weight, bias) + 2 * bytes_of(residual)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::layernorm_forward(stream, x, residual, weight, bias, eps, y, statistics);
      return;
    case DeviceType::kCuda:
      cuda::layernorm_forward(stream, x, residual, weight, bias, eps, y, statistics);
      return;
  }
}

void layernorm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& statistics,
                        const TensorView& dx, const TensorView& dweight) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"layernorm_backward",
                      {x.rows(), x.cols()},
                      0,
                      bytes_of(dy, x, weight) + 2 * bytes_of(dx, dweight)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::layernorm_backward(stream, dy, x, weight, statistics, dx, dweight);
      return;
    case DeviceType::kCuda:
      cuda::layernorm_backward(stream, dy, x, weight, statistics, dx, dweight);
      return;
  }
}

}  // namespace finescale
