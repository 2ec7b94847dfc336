// SPDX-License-Identifier: Apache-2.0
#include "kernels/bias.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void bias_add(const Stream& stream, const TensorView& bias, const TensorView& y) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"bias_add", {y.rows(), y.cols()}, 0, bytes_of(bias) + 2 * bytes_of(y)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::bias_add(stream, bias, y);
      return;
    case DeviceType::kCuda:
      cuda::bias_add(stream, bias, y);
      return;
  }
}

void bias_gradient(const Stream& stream, const TensorView& dy, const TensorView& dbias) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "bias_gradient", {dy.rows(), dy.cols()}, 0, bytes_of(dy) + 2 * bytes_of(dbias)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::bias_gradient(stream, dy, dbias);
      return;
    case DeviceType::kCuda:
      cuda::bias_gradient(stream, dy, dbias);
      return;
  }
}

void affine_in_place(const Stream& stream, double factor, double addend, const TensorView& x) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"affine_in_place", {x.rows(), x.cols()}, 0, 2 * bytes_of(x)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::affine_in_place(stream, factor, addend, x);
      return;
    case DeviceType::kCuda:
      cuda::affine_in_place(stream, factor, addend, x);
      return;
  }
}

}  // namespace finescale
