// SPDX-License-Identifier: Apache-2.0
#include "kernels/swiglu.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void swiglu_forward(const Stream& stream, const TensorView& gate_up, const TensorView& y) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"swiglu_forward", {y.rows(), y.cols()}, 0, bytes_of(gate_up, y)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::swiglu_forward(stream, gate_up, y);
      return;
    case DeviceType::kCuda:
      cuda::swiglu_forward(stream, gate_up, y);
      return;
  }
}

void swiglu_backward(const Stream& stream, const TensorView& dy, const TensorView& gate_up,
                     const TensorView& dgate_up, const TensorView& y) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "swiglu_backward", {dy.rows(), dy.cols()}, 0, bytes_of(dy, gate_up, dgate_up, y)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::swiglu_backward(stream, dy, gate_up, dgate_up, y);
      return;
    case DeviceType::kCuda:
      cuda::swiglu_backward(stream, dy, gate_up, dgate_up, y);
      return;
  }
}

}  // namespace finescale
