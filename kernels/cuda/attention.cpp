// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.h"

#include <utility>

#include "core/error.h"
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rounding.h"
#include "kernels/cuda/scratch.h"

namespace finescale::cuda {

namespace {

TensorView rounded(const Stream& stream, const TensorView& x, const TensorView& copy) {
  cuda::round_to_bf16(stream, x, copy);
  return copy;
}

}  // namespace

void attention_forward(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                       const TensorView& k, const TensorView& v,
                       std::span<const std::int32_t> segments, const TensorView& out,
                       const TensorView& lse, const TensorView& on_device) {
  FS_CHECK(std::cmp_equal(segments.size(), on_device.num_elements()),
           "attention on a GPU needs its segments there");
  if (!rounds_products(stream, q) || !fits_tensor_cores(shape)) {
    attention_forward(stream, shape, q, k, v, on_device, out, lse);
    return;
  }
  const ScratchTensors copies(
      stream, {{DType::kBf16, q.shape}, {DType::kBf16, k.shape}, {DType::kBf16, v.shape}});
  attention_forward_mma(stream, shape, rounded(stream, q, copies[0]), rounded(stream, k, copies[1]),
                        rounded(stream, v, copies[2]), on_device, out, lse);
}

void attention_backward(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                        const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& out, const TensorView& lse,
                        std::span<const std::int32_t> segments, const TensorView& dq,
                        const TensorView& dk, const TensorView& dv, const TensorView& on_device) {
  FS_CHECK(std::cmp_equal(segments.size(), on_device.num_elements()),
           "attention on a GPU needs its segments there");
  const ScratchTensors scratch(stream, {{DType::kF32, {q.rows(), shape.num_heads}}});
  const TensorView& delta = scratch[0];
  if (!rounds_products(stream, q) || !fits_tensor_cores(shape)) {
    attention_backward(stream, shape, dout, q, k, v, out, lse, on_device, delta, dq, dk, dv);
    return;
  }
  const ScratchTensors copies(stream, {{DType::kBf16, q.shape},
                                       {DType::kBf16, k.shape},
                                       {DType::kBf16, v.shape},
                                       {DType::kBf16, dout.shape}});
  attention_delta(stream, shape, dout, out, delta);
  attention_backward_mma(stream, shape, rounded(stream, dout, copies[3]),
                         rounded(stream, q, copies[0]), rounded(stream, k, copies[1]),
                         rounded(stream, v, copies[2]), lse, on_device, delta, dq, dk, dv);
}

}  // namespace finescale::cuda
