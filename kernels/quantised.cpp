// SPDX-License-Identifier: Apache-2.0
#include "kernels/quantised.h"

#include <algorithm>

#include "core/aligned_buffer.h"
#include "core/error.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"
#include "kernels/row_gemm.h"

namespace finescale {

namespace {

// Of the calling thread, for the panels of one product after another.
TensorView panel_of(std::int64_t rows, std::int64_t cols, DType dtype) {
  thread_local AlignedBuffer scratch;
  const std::size_t bytes = static_cast<std::size_t>(rows * cols) * dtype_size(dtype);
  if (scratch.size_bytes() < bytes) {
    scratch = AlignedBuffer(bytes);
  }
  return {scratch.data(), dtype, Shape{rows, cols}};
}

// Rows or columns of a panel, whole blocks.
std::int64_t panel_width(std::int64_t other) {
  return std::max<std::int64_t>(1, kQuantPanel / std::max<std::int64_t>(1, other) / kQuantBlock) *
         kQuantBlock;
}

double stored_bytes(const QuantisedMatrix& w) {
  return static_cast<double>(w.rows * w.blocks()) *
         static_cast<double>(block_bytes(w.format) + (w.scales != nullptr ? 4 : 1));
}

// Calls multiply(panel [rows, K], first row) for all of W's rows.
template <class Multiply>
void for_row_panels(const Stream& stream, const QuantisedMatrix& w, DType dtype,
                    const Multiply& multiply) {
  const std::int64_t width = panel_width(w.cols);
  for (std::int64_t row = 0; row < w.rows; row += width) {
    const TensorView panel = panel_of(std::min(width, w.rows - row), w.cols, dtype);
    dequantise(stream, w, row, 0, panel);
    multiply(panel, row);
  }
}

}  // namespace

void dequantise(const Stream& stream, const QuantisedMatrix& matrix, std::int64_t row,
                std::int64_t column, const TensorView& out) {
  FS_CHECK(row + out.rows() <= matrix.rows && column + out.cols() <= matrix.cols,
           "a part beyond the quantised matrix");
  const KernelSpan span(stream, [&] {
    const double part =
        static_cast<double>(out.num_elements()) / static_cast<double>(matrix.rows * matrix.cols);
    return KernelCall{
        "dequantise", {out.rows(), out.cols()}, 0, stored_bytes(matrix) * part + bytes_of(out)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::dequantise(stream, matrix, row, column, out);
      return;
    case DeviceType::kCuda:
      no_kernel("dequantise");
  }
}

void quantised_gemm(const Stream& stream, Transpose transpose_w, const TensorView& a,
                    const QuantisedMatrix& w, double beta, const TensorView& c) {
  if (transpose_w == Transpose::kYes) {
    for_row_panels(stream, w, c.dtype, [&](const TensorView& panel, std::int64_t row) {
      gemm(stream, Transpose::kNo, Transpose::kYes, 1, a, panel, beta,
           c.columns(row, row + panel.rows()));
    });
    return;
  }
  const std::int64_t width = panel_width(w.rows);
  for (std::int64_t column = 0; column < w.cols; column += width) {
    const std::int64_t end = std::min(column + width, w.cols);
    const TensorView panel = panel_of(w.rows, end - column, c.dtype);
    dequantise(stream, w, 0, column, panel);
    gemm(stream, Transpose::kNo, Transpose::kNo, 1, a, panel, beta, c.columns(column, end));
  }
}

void quantised_row_gemm(const Stream& stream, const TensorView& x, const QuantisedMatrix& w,
                        const TensorView& y) {
  for_row_panels(stream, w, y.dtype, [&](const TensorView& panel, std::int64_t row) {
    row_gemm(stream, 1, x, panel, 0, y.columns(row, row + panel.rows()));
  });
}

}  // namespace finescale
