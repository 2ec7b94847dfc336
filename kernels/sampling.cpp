// SPDX-License-Identifier: Apache-2.0
#include "kernels/sampling.h"

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"

namespace finescale {

void sample_rows(const Stream& stream, const SamplingOptions& options, const TensorView& logits,
                 const SeenTokens& seen, const TensorView& uniforms, const TensorView& tokens) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"sample_rows", {logits.rows(), logits.cols()}, 0, bytes_of(logits)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      no_kernel("sample_rows");
    case DeviceType::kCuda:
      cuda::sample_rows(stream, options, logits, seen, uniforms, tokens);
      return;
  }
}

}  // namespace finescale
