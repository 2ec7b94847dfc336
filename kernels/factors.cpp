// SPDX-License-Identifier: Apache-2.0
#include "kernels/factors.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"

namespace finescale {

void scale_columns(const Stream& stream, const TensorView& x, const TensorView& factor,
                   const TensorView& constant, const TensorView& y) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "scale_columns", {y.rows(), y.cols()}, 0, bytes_of(factor, constant) + 2 * bytes_of(y)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::scale_columns(stream, x, factor, constant, y);
      return;
    case DeviceType::kCuda:
      no_kernel("scale_columns");
  }
}

void add_scaled_columns(const Stream& stream, const TensorView& x, const TensorView& factor,
                        const TensorView& y) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "add_scaled_columns", {y.rows(), y.cols()}, 0, bytes_of(x, factor) + 2 * bytes_of(y)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::add_scaled_columns(stream, x, factor, y);
      return;
    case DeviceType::kCuda:
      no_kernel("add_scaled_columns");
  }
}

void scale_columns_gradient(const Stream& stream, const TensorView& dy, const TensorView& x,
                            const TensorView& constant, const TensorView& dfactor) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"scale_columns_gradient",
                      {dy.rows(), dy.cols()},
                      0,
                      bytes_of(dy, x, constant) + 2 * bytes_of(dfactor)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::scale_columns_gradient(stream, dy, x, constant, dfactor);
      return;
    case DeviceType::kCuda:
      no_kernel("scale_columns_gradient");
  }
}

void scale_row_steps(const Stream& stream, const TensorView& before, const TensorView& after,
                     const TensorView& factors, std::int64_t first_element, std::int64_t columns) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "scale_row_steps", {after.num_elements()}, 0, bytes_of(before) + 2 * bytes_of(after)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::scale_row_steps(stream, before, after, factors, first_element, columns);
      return;
    case DeviceType::kCuda:
      no_kernel("scale_row_steps");
  }
}

}  // namespace finescale
