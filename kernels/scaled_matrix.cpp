// SPDX-License-Identifier: Apache-2.0
#include "kernels/scaled_matrix.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"

namespace finescale {

void scale_matrix(const Stream& stream, const TensorView& rows, const TensorView& matrix,
                  const TensorView& columns, const TensorView& out) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"scale_matrix", {out.rows(), out.cols()}, 0, 2 * bytes_of(out)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::scale_matrix(stream, rows, matrix, columns, out);
      return;
    case DeviceType::kCuda:
      no_kernel("scale_matrix");
  }
}

void scale_matrix_gradient(const Stream& stream, const TensorView& dout, const TensorView& rows,
                           const TensorView& matrix, const TensorView& columns,
                           const TensorView& drows, const TensorView& dcolumns) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"scale_matrix_gradient", {dout.rows(), dout.cols()}, 0, 2 * bytes_of(dout)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::scale_matrix_gradient(stream, dout, rows, matrix, columns, drows, dcolumns);
      return;
    case DeviceType::kCuda:
      no_kernel("scale_matrix_gradient");
  }
}

}  // namespace finescale
