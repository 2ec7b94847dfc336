// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dispatch.h"

namespace finescale {

void embedding_forward(const Stream& stream, const TensorView& tokens, const TensorView& weight,
                       const TensorView& y) {
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::embedding_forward(stream, tokens, weight, y);
      return;
    case DeviceType::kCuda:
      no_kernel("embedding_forward");
  }
}

void embedding_backward(const Stream& stream, const TensorView& tokens, const TensorView& dy,
                        const TensorView& dweight) {
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::embedding_backward(stream, tokens, dy, dweight);
      return;
    case DeviceType::kCuda:
      no_kernel("embedding_backward");
  }
}

}  // namespace finescale
