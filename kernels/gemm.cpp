// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dispatch.h"

namespace finescale {

void gemm(const Stream& stream, Transpose transpose_a, Transpose transpose_b, double alpha,
          const TensorView& a, const TensorView& b, double beta, const TensorView& c) {
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::gemm(stream, transpose_a, transpose_b, alpha, a, b, beta, c);
      return;
    case DeviceType::kCuda:
      no_kernel("gemm");
  }
}

}  // namespace finescale
