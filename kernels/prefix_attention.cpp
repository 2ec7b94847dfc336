// SPDX-License-Identifier: Apache-2.0
#include "kernels/prefix_attention.h"

#include "core/error.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

namespace {

void check_device(const Stream& stream) {
  FS_CHECK(!stream.on_gpu(), "virtual tokens are attended to on the CPU only");
}

// FLOPs of `count` products of all queries with all P.
double products(const AttentionShape& shape, std::int64_t tokens, std::int64_t prefix, int count) {
  return 2.0 * count * static_cast<double>(tokens * prefix) * shape.num_heads * shape.head_dim;
}

}  // namespace

void prefix_attention_forward(const Stream& stream, const AttentionShape& shape,
                              const TensorView& q, const TensorView& k, const TensorView& v,
                              const TensorView& scores, const TensorView& out,
                              const TensorView& lse) {
  check_device(stream);
  const KernelSpan span(stream, [&] {
    return KernelCall{"prefix_attention_forward",
                      {q.rows(), k.rows(), shape.head_dim},
                      products(shape, q.rows(), k.rows(), 2),
                      bytes_of(q, k, v, out, out, lse, lse)};
  });
  cpu::prefix_attention_forward(stream, shape, q, k, v, scores, out, lse);
}

void attention_delta(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                     const TensorView& out, const TensorView& delta) {
  check_device(stream);
  const KernelSpan span(stream, [&] {
    return KernelCall{"attention_delta",
                      {dout.rows(), shape.num_heads, shape.head_dim},
                      2.0 * static_cast<double>(dout.num_elements()),
                      bytes_of(dout, out, delta)};
  });
  cpu::attention_delta(stream, shape, dout, out, delta);
}

void attention_backward_given(const Stream& stream, const AttentionShape& shape,
                              const TensorView& dout, const TensorView& q, const TensorView& k,
                              const TensorView& v, const TensorView& lse, const TensorView& delta,
                              std::span<const std::int32_t> segments, const TensorView& dq,
                              const TensorView& dk, const TensorView& dv) {
  check_device(stream);
  double pairs = 0;
  for (std::size_t s = 0; s + 1 < segments.size(); ++s) {
    const double length = segments[s + 1] - segments[s];
    pairs += length * (length + 1) / 2;
  }
  const KernelSpan span(stream, [&] {
    return KernelCall{"attention_backward",
                      {q.rows(), shape.num_heads, shape.head_dim},
                      2.0 * 5 * pairs * shape.num_heads * shape.head_dim,
                      bytes_of(dout, q, k, v, lse, delta, dq, dk, dv)};
  });
  cpu::attention_backward_given(stream, shape, dout, q, k, v, lse, delta, segments, dq, dk, dv);
}

void prefix_attention_backward(const Stream& stream, const AttentionShape& shape,
                               const TensorView& dout, const TensorView& q, const TensorView& k,
                               const TensorView& v, const TensorView& lse, const TensorView& delta,
                               const TensorView& weights, const TensorView& dweights,
                               const PrefixGradients& gradients) {
  check_device(stream);
  const KernelSpan span(stream, [&] {
    return KernelCall{"prefix_attention_backward",
                      {q.rows(), k.rows(), shape.head_dim},
                      products(shape, q.rows(), k.rows(), 5),
                      bytes_of(dout, q, k, v, lse, delta, gradients.dk, gradients.dv)};
  });
  cpu::prefix_attention_backward(stream, shape, dout, q, k, v, lse, delta, weights, dweights,
                                 gradients);
}

}  // namespace finescale
