// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

namespace {

// FLOPs of `count` products of the causal halves of all segments.
double products(const AttentionShape& shape, std::span<const std::int32_t> segments, int count) {
  double pairs = 0;
  for (std::size_t s = 0; s + 1 < segments.size(); ++s) {
    const double length = segments[s + 1] - segments[s];
    pairs += length * (length + 1) / 2;
  }
  return 2.0 * count * pairs * shape.num_heads * shape.head_dim;
}

}  // namespace

void attention_forward(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                       const TensorView& k, const TensorView& v,
                       std::span<const std::int32_t> segments, const TensorView& out,
                       const TensorView& lse, const TensorView& on_device) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"attention_forward",
                      {q.rows(), shape.num_heads, shape.head_dim},
                      products(shape, segments, 2),
                      bytes_of(q, k, v, out, lse)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::attention_forward(stream, shape, q, k, v, segments, out, lse, on_device);
      return;
    case DeviceType::kCuda:
      cuda::attention_forward(stream, shape, q, k, v, segments, out, lse, on_device);
      return;
  }
}

void attention_backward(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                        const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& out, const TensorView& lse,
                        std::span<const std::int32_t> segments, const TensorView& dq,
                        const TensorView& dk, const TensorView& dv, const TensorView& on_device) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"attention_backward",
                      {q.rows(), shape.num_heads, shape.head_dim},
                      products(shape, segments, 5),
                      bytes_of(dout, q, k, v, out, lse, dq, dk, dv)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::attention_backward(stream, shape, dout, q, k, v, out, lse, segments, dq, dk, dv,
                              on_device);
      return;
    case DeviceType::kCuda:
      cuda::attention_backward(stream, shape, dout, q, k, v, out, lse, segments, dq, dk, dv,
                               on_device);
      return;
  }
}

}  // namespace finescale
