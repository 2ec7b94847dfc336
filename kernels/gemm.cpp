// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"

namespace finescale {

void gemm(const Stream& stream, Transpose transpose_a, Transpose transpose_b, double alpha,
          const TensorView& a, const TensorView& b, double beta, const TensorView& c) {
  const KernelSpan span(stream, [&] {
    const std::int64_t inner = transpose_a == Transpose::kNo ? a.cols() : a.rows();
    return KernelCall{transpose_a == Transpose::kYes   ? "gemm_tn"
                      : transpose_b == Transpose::kYes ? "gemm_nt"
                                                       : "gemm_nn",
                      {c.rows(), c.cols(), inner},
                      2.0 * static_cast<double>(c.num_elements() * inner),
                      bytes_of(a, b, c) + (beta == 0 ? 0 : bytes_of(c))};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::gemm(stream, transpose_a, transpose_b, alpha, a, b, beta, c);
      return;
    case DeviceType::kCuda:
      no_kernel("gemm");
  }
}

}  // namespace finescale
