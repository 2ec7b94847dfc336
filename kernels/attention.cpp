// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dispatch.h"

namespace finescale {

void attention_forward(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                       const TensorView& k, const TensorView& v,
                       std::span<const std::int32_t> segments, const TensorView& out,
                       const TensorView& lse) {
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::attention_forward(stream, shape, q, k, v, segments, out, lse);
      return;
    case DeviceType::kCuda:
      no_kernel("attention_forward");
  }
}

void attention_backward(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                        const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& out, const TensorView& lse,
                        std::span<const std::int32_t> segments, const TensorView& dq,
                        const TensorView& dk, const TensorView& dv) {
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::attention_backward(stream, shape, dout, q, k, v, out, lse, segments, dq, dk, dv);
      return;
    case DeviceType::kCuda:
      no_kernel("attention_backward");
  }
}

void attention_decode(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                      const TensorView& k_cache, const TensorView& v_cache,
                      std::int64_t positions_per_sequence, std::span<const std::int32_t> lengths,
                      const TensorView& out) {
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::attention_decode(stream, shape, q, k_cache, v_cache, positions_per_sequence, lengths,
                            out);
      return;
    case DeviceType::kCuda:
      no_kernel("attention_decode");
  }
}

}  // namespace finescale
