// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.h"

#include <utility>

#include "core/error.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/scratch.h"

namespace finescale::cuda {

void attention_forward(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                       const TensorView& k, const TensorView& v,
                       std::span<const std::int32_t> segments, const TensorView& out,
                       const TensorView& lse, const TensorView& on_device) {
  FS_CHECK(std::cmp_equal(segments.size(), on_device.num_elements()),
           "attention on a GPU needs its segments there");
  attention_forward(stream, shape, q, k, v, on_device, out, lse);
}

void attention_backward(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                        const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& out, const TensorView& lse,
                        std::span<const std::int32_t> segments, const TensorView& dq,
                        const TensorView& dk, const TensorView& dv, const TensorView& on_device) {
  FS_CHECK(std::cmp_equal(segments.size(), on_device.num_elements()),
           "attention on a GPU needs its segments there");
  const ScratchTensors scratch(stream, {{DType::kF32, {q.rows(), shape.num_heads}}});
  attention_backward(stream, shape, dout, q, k, v, out, lse, on_device, scratch[0], dq, dk, dv);
}

}  // namespace finescale::cuda
