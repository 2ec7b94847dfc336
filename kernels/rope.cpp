// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.h"

#include <cmath>
#include <cstdint>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

namespace {

template <class T>
void fill_table(std::span<const double> frequencies, const TensorView& cos, const TensorView& sin) {
  const std::int64_t half = cos.cols();
  for (std::int64_t position = 0; position < cos.rows(); ++position) {
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies[static_cast<std::size_t>(i)];
      cos.as<T>()[position * half + i] = static_cast<T>(std::cos(angle));
      sin.as<T>()[position * half + i] = static_cast<T>(std::sin(angle));
    }
  }
}

}  // namespace

void rope_table(std::span<const double> frequencies, const TensorView& cos, const TensorView& sin) {
  if (cos.dtype == DType::kF64) {
    fill_table<double>(frequencies, cos, sin);
  } else {
    fill_table<float>(frequencies, cos, sin);
  }
}

void rope_apply(const Stream& stream, const TensorView& x, std::int64_t head_dim,
                const TensorView& positions, const TensorView& cos, const TensorView& sin,
                bool inverse) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"rope", {x.rows(), x.cols()}, 0, 2 * bytes_of(x)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::rope_apply(stream, x, head_dim, positions, cos, sin, inverse);
      return;
    case DeviceType::kCuda:
      cuda::rope_apply(stream, x, head_dim, positions, cos, sin, inverse);
      return;
  }
}

}  // namespace finescale
