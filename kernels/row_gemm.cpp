// SPDX-License-Identifier: Apache-2.0
#include "kernels/row_gemm.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void row_gemm(const Stream& stream, double alpha, const TensorView& x, const TensorView& w,
              double beta, const TensorView& y) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"row_gemm",
                      {x.rows(), w.rows(), x.cols()},
                      2.0 * static_cast<double>(x.rows() * w.rows() * x.cols()),
                      bytes_of(x, w, y)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::row_gemm(stream, alpha, x, w, beta, y);
      return;
    case DeviceType::kCuda:
      cuda::row_gemm(stream, alpha, x, w, beta, y);
      return;
  }
}

}  // namespace finescale
