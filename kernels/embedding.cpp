// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"

namespace finescale {

void embedding_forward(const Stream& stream, const TensorView& tokens, const TensorView& weight,
                       const TensorView& y) {
  const KernelSpan span(stream, [&] {
    const double elements = static_cast<double>(y.num_elements());
    const double read = elements * static_cast<double>(dtype_size(weight.dtype));
    return KernelCall{"embedding_forward", {y.rows(), y.cols()}, 0, read + bytes_of(y)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::embedding_forward(stream, tokens, weight, y);
      return;
    case DeviceType::kCuda:
      cuda::embedding_forward(stream, tokens, weight, y);
      return;
  }
}

void embedding_backward(const Stream& stream, const TensorView& tokens, const TensorView& dy,
                        const TensorView& to) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"embedding_backward", {dy.rows(), dy.cols()}, 0, 3 * bytes_of(dy)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::embedding_backward(stream, tokens, dy, to);
      return;
    case DeviceType::kCuda:
      cuda::embedding_backward(stream, tokens, dy, to);
      return;
  }
}

std::int64_t embedding_gather_gradient(const Stream& stream, const TensorView& tokens,
                                       const TensorView& dy, const TensorView& ids,
                                       const TensorView& rows) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"embedding_gather", {dy.rows(), dy.cols()}, 0, 2 * bytes_of(dy)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      return cpu::embedding_gather_gradient(stream, tokens, dy, ids, rows);
    case DeviceType::kCuda:
      return cuda::embedding_gather_gradient(stream, tokens, dy, ids, rows);
  }
  no_kernel("embedding_gather_gradient");
}

void add_rows(const Stream& stream, const TensorView& ids, const TensorView& rows,
              const TensorView& to) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"add_rows", {rows.rows(), rows.cols()}, 0, 3 * bytes_of(rows)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::add_rows(stream, ids, rows, to);
      return;
    case DeviceType::kCuda:
      cuda::add_rows(stream, ids, rows, to);
      return;
  }
}

}  // namespace finescale
