// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void adamw_update(const Stream& stream, const AdamwStep& step, const TensorView& weight,
                  const TensorView& gradient, const TensorView& m, const TensorView& v) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "adamw", {weight.num_elements()}, 0, bytes_of(gradient) + 2 * bytes_of(weight, m, v)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::adamw_update(stream, step, weight, gradient, m, v);
      return;
    case DeviceType::kCuda:
      cuda::adamw_update(stream, step, weight, gradient, m, v);
      return;
  }
}

}  // namespace finescale
