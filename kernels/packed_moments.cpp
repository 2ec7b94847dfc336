// SPDX-License-Identifier: Apache-2.0
#include "kernels/packed_moments.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"

namespace finescale {

void adamw_update_packed(const Stream& stream, const AdamwStep& step, const TensorView& weight,
                         const TensorView& gradient, const PackedMoments& moments) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "adamw_packed",
        {weight.num_elements()},
        0,
        bytes_of(gradient) + 2 * bytes_of(weight) +
            static_cast<double>(weight.num_elements()) *
                (moments.code == MomentCode::kBf16 ? 8 : 4)};  // both moments, read and written
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::adamw_update_packed(stream, step, weight, gradient, moments);
      return;
    case DeviceType::kCuda:
      cuda::adamw_update_packed(stream, step, weight, gradient, moments);
      return;
  }
}

void expand_moments(const Stream& stream, const PackedMoments& moments, const TensorView& m,
                    const TensorView& v) {
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::expand_moments(stream, moments, m, v);
      return;
    case DeviceType::kCuda:
      no_kernel("expand_moments");
  }
}

void pack_moments(const Stream& stream, const TensorView& m, const TensorView& v,
                  const PackedMoments& moments) {
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::pack_moments(stream, m, v, moments);
      return;
    case DeviceType::kCuda:
      no_kernel("pack_moments");
  }
}

}  // namespace finescale
