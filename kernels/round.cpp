// SPDX-License-Identifier: Apache-2.0
#include "kernels/round.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void round_to_bf16(const Stream& stream, const TensorView& x, const TensorView& rounded) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"round_to_bf16", {x.rows(), x.cols()}, 0, bytes_of(x, rounded)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::round_to_bf16(stream, x, rounded);
      return;
    case DeviceType::kCuda:
      cuda::round_to_bf16(stream, x, rounded);
      return;
  }
}

}  // namespace finescale
