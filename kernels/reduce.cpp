// SPDX-License-Identifier: Apache-2.0
#include "kernels/reduce.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"

namespace finescale {

double squared_norm(const Stream& stream, const TensorView& x) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"squared_norm", {x.num_elements()}, 0, bytes_of(x)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      return cpu::squared_norm(stream, x);
    case DeviceType::kCuda:
      return cuda::squared_norm(stream, x);
  }
  no_kernel("squared_norm");
}

void squared_norm_blocks(const Stream& stream, const TensorView& x, ExactSum& total) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"squared_norm", {x.num_elements()}, 0, bytes_of(x)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::squared_norm_blocks(stream, x, total);
      return;
    case DeviceType::kCuda:
      cuda::squared_norm_blocks(stream, x, total);
      return;
  }
}

double sum(const Stream& stream, const TensorView& x) {
  switch (stream.type()) {
    case DeviceType::kCpu:
      return cpu::sum(stream, x);
    case DeviceType::kCuda:
      return cuda::sum(stream, x);
  }
  no_kernel("sum");
}

void add_in_place(const Stream& stream, const TensorView& x, const TensorView& y) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"add", {y.num_elements()}, 0, bytes_of(x) + 2 * bytes_of(y)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::add_in_place(stream, x, y);
      return;
    case DeviceType::kCuda:
      cuda::add_in_place(stream, x, y);
      return;
  }
}

void axpy(const Stream& stream, double alpha, const TensorView& x, const TensorView& y) {
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::axpy(stream, alpha, x, y);
      return;
    case DeviceType::kCuda:
      cuda::axpy(stream, alpha, x, y);
      return;
  }
}

void fill_zero(const Stream& stream, const TensorView& x) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"fill_zero", {x.num_elements()}, 0, bytes_of(x)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::fill_zero(stream, x);
      return;
    case DeviceType::kCuda:
      cuda::fill_zero(stream, x);
      return;
  }
}

void copy(const Stream& stream, const TensorView& from, const TensorView& to) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"copy", {to.num_elements()}, 0, bytes_of(from, to)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::copy(stream, from, to);
      return;
    case DeviceType::kCuda:
      cuda::copy(stream, from, to);
      return;
  }
}

void argmax_rows(const Stream& stream, const TensorView& logits, const TensorView& indices) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"argmax_rows", {logits.rows(), logits.cols()}, 0, bytes_of(logits)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::argmax_rows(stream, logits, indices);
      return;
    case DeviceType::kCuda:
      cuda::argmax_rows(stream, logits, indices);
      return;
  }
}

}  // namespace finescale
