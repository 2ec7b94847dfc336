// SPDX-License-Identifier: Apache-2.0
#include "kernels/quantised.h"

#include <algorithm>
#include <optional>

#include "core/aligned_buffer.h"
#include "core/error.h"
#include "core/gpu.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"
#include "kernels/round.h"
#include "kernels/row_gemm.h"

namespace finescale {

namespace {

// A panel of W's values as products take it; on the CPU the calling thread keeps the memory for one
// product after another.
class Panel {
 public:
  Panel(const Stream& stream, std::int64_t rows, std::int64_t cols, DType dtype)
      : view_(nullptr, dtype, Shape{rows, cols}) {
    view_.row_stride = dtype == DType::kBf16 ? rounded_stride(cols) : cols;
    const std::size_t bytes = static_cast<std::size_t>(rows * view_.row_stride) * dtype_size(dtype);
    if (stream.on_gpu()) {
      memory_.emplace(*stream.gpu(), bytes);
      view_.data = memory_->data();
      return;
    }
    thread_local AlignedBuffer kept;
    if (kept.size_bytes() < bytes) {
      kept = AlignedBuffer(bytes);
    }
    view_.data = kept.data();
  }
  [[nodiscard]] const TensorView& view() const noexcept { return view_; }

 private:
  std::optional<GpuScratch> memory_;
  TensorView view_;
};

// Rows or columns of a panel, whole blocks.
std::int64_t panel_width(const Stream& stream, std::int64_t other) {
  const std::int64_t most = stream.on_gpu() ? kGpuQuantPanel : kQuantPanel;
  return std::max<std::int64_t>(1, most / std::max<std::int64_t>(1, other) / kQuantBlock) *
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
  const std::int64_t width = panel_width(stream, w.cols);
  for (std::int64_t row = 0; row < w.rows; row += width) {
    const Panel panel(stream, std::min(width, w.rows - row), w.cols, dtype);
    dequantise(stream, w, row, 0, panel.view());
    multiply(panel.view(), row);
  }
}

// c's rows may be stored as bf16 where products read bf16.
DType panel_dtype(const Stream& stream, const TensorView& c) {
  return c.dtype == DType::kF64 ? c.dtype : operand_dtype(stream, DType::kF32);
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
      cuda::dequantise(stream, matrix, row, column, out);
      return;
  }
}

void quantised_gemm(const Stream& stream, Transpose transpose_w, const TensorView& a,
                    const QuantisedMatrix& w, double beta, const TensorView& c) {
  if (transpose_w == Transpose::kYes) {
    for_row_panels(stream, w, panel_dtype(stream, c),
                   [&](const TensorView& panel, std::int64_t row) {
                     gemm(stream, Transpose::kNo, Transpose::kYes, 1, a, panel, beta,
                          c.columns(row, row + panel.rows()));
                   });
    return;
  }
  const std::int64_t width = panel_width(stream, w.rows);
  for (std::int64_t column = 0; column < w.cols; column += width) {
    const std::int64_t end = std::min(column + width, w.cols);
    const Panel panel(stream, w.rows, end - column, panel_dtype(stream, c));
    dequantise(stream, w, 0, column, panel.view());
    gemm(stream, Transpose::kNo, Transpose::kNo, 1, a, panel.view(), beta, c.columns(column, end));
  }
}

void quantised_row_gemm(const Stream& stream, const TensorView& x, const QuantisedMatrix& w,
                        const TensorView& y) {
  for_row_panels(stream, w, y.dtype, [&](const TensorView& panel, std::int64_t row) {
    row_gemm(stream, 1, x, panel, 0, y.columns(row, row + panel.rows()));
  });
}

}  // namespace finescale
