// SPDX-License-Identifier: Apache-2.0
#include "kernels/rmsnorm.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void rmsnorm_forward(const Stream& stream, const TensorView& x, const TensorView& residual,
                     const TensorView& weight, double eps, const TensorView& y,
                     const TensorView& rstd) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"rmsnorm_forward",
                      {x.rows(), x.cols()},
                      0,
                      bytes_of(x, y, weight) + 2 * bytes_of(residual)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::rmsnorm_forward(stream, x, residual, weight, eps, y, rstd);
      return;
    case DeviceType::kCuda:
      cuda::rmsnorm_forward(stream, x, residual, weight, eps, y, rstd);
      return;
  }
}

void rmsnorm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                      const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                      const TensorView& dweight) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"rmsnorm_backward",
                      {x.rows(), x.cols()},
                      0,
                      bytes_of(dy, x, weight) + 2 * bytes_of(dx, dweight)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::rmsnorm_backward(stream, dy, x, weight, rstd, dx, dweight);
      return;
    case DeviceType::kCuda:
      cuda::rmsnorm_backward(stream, dy, x, weight, rstd, dx, dweight);
      return;
  }
}

}  // namespace finescale
