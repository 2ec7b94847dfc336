// SPDX-License-Identifier: Apache-2.0
#include "kernels/gelu.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void gelu_forward(const Stream& stream, Gelu kind, const TensorView& x, const TensorView& y) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"gelu_forward", {y.rows(), y.cols()}, 0, bytes_of(x, y)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::gelu_forward(stream, kind, x, y);
      return;
    case DeviceType::kCuda:
      cuda::gelu_forward(stream, kind, x, y);
      return;
  }
}

void gelu_backward(const Stream& stream, Gelu kind, const TensorView& dy, const TensorView& x,
                   const TensorView& dx) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"gelu_backward", {dy.rows(), dy.cols()}, 0, bytes_of(dy, x, dx)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::gelu_backward(stream, kind, dy, x, dx);
      return;
    case DeviceType::kCuda:
      cuda::gelu_backward(stream, kind, dy, x, dx);
      return;
  }
}

void geglu_forward(const Stream& stream, Gelu kind, const TensorView& gate_up,
                   const TensorView& y) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"geglu_forward", {y.rows(), y.cols()}, 0, bytes_of(gate_up, y)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::geglu_forward(stream, kind, gate_up, y);
      return;
    case DeviceType::kCuda:
      cuda::geglu_forward(stream, kind, gate_up, y);
      return;
  }
}

void geglu_backward(const Stream& stream, Gelu kind, const TensorView& dy,
                    const TensorView& gate_up, const TensorView& dgate_up) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"geglu_backward", {dy.rows(), dy.cols()}, 0, bytes_of(dy, gate_up, dgate_up)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::geglu_backward(stream, kind, dy, gate_up, dgate_up);
      return;
    case DeviceType::kCuda:
      cuda::geglu_backward(stream, kind, dy, gate_up, dgate_up);
      return;
  }
}

}  // namespace finescale
