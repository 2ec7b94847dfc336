// SPDX-License-Identifier: Apache-2.0
#include "kernels/head_norm.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void head_norm_forward(const Stream& stream, const TensorView& x, const TensorView& weight,
                       double eps, const TensorView& y, const TensorView& rstd) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"head_norm_forward", {x.rows(), x.cols()}, 0, bytes_of(x, y, weight)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::head_norm_forward(stream, x, weight, eps, y, rstd);
      return;
    case DeviceType::kCuda:
      cuda::head_norm_forward(stream, x, weight, eps, y, rstd);
      return;
  }
}

void head_norm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                        const TensorView& dweight) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"head_norm_backward",
                      {x.rows(), x.cols()},
                      0,
                      bytes_of(dy, x, weight, dx) + 2 * bytes_of(dweight)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::head_norm_backward(stream, dy, x, weight, rstd, dx, dweight);
      return;
    case DeviceType::kCuda:
      cuda::head_norm_backward(stream, dy, x, weight, rstd, dx, dweight);
      return;
  }
}

}  // namespace finescale
