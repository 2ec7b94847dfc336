// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include <algorithm>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/kernel_span.h"

namespace finescale {

void gemm(const Stream& stream, Transpose transpose_a, Transpose transpose_b, double alpha,
          const TensorView& a, const TensorView& b, double beta, const TensorView& c) {
  const KernelSpan span(stream, [&] {
    const std::int64_t inner = transpose_a == Transpose::kNo ? a.cols() : a.rows();
    return KernelCall{transpose_a == Transpose::kYes   ? "gemm_tn"
                      : transpose_b == Transpose::kYes ? "gemm_nt"
                                                       : "gemm_nn",
                      {c.rows(), c.cols(), inner},
                      2.0 * static_cast<double>(c.num_elements() * inner),
                      bytes_of(a, b, c) + (beta == 0 ? 0 : bytes_of(c))};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::gemm(stream, transpose_a, transpose_b, alpha, a, b, beta, c);
      return;
    case DeviceType::kCuda:
      cuda::gemm(stream, transpose_a, transpose_b, alpha, a, b, beta, c);
      return;
  }
}

DType operand_dtype(const Stream& stream, DType dtype) {
  return stream.on_gpu() && stream.products() == Products::kBf16 && dtype == DType::kF32
             ? DType::kBf16
             : dtype;
}

SharedOperand::SharedOperand(const Stream& stream, const TensorView& matrix) : stream_(stream) {
  if (operand_dtype(stream, matrix.dtype) != matrix.dtype && matrix.num_elements() > 0) {
    cuda::keep_operand(stream, matrix);
    matrix_ = matrix;
  }
}

SharedOperand::~SharedOperand() {
  if (!matrix_.empty()) {
    cuda::forget_operand(stream_, matrix_);
  }
}

void gemm_by_rows(const Stream& stream, Transpose transpose_b,
                  std::span<const RowProduct> products) {
  if (products.empty()) {
    return;
  }
  if (products.size() == 1) {
    const RowProduct& p = products.front();
    gemm(stream, Transpose::kNo, transpose_b, p.alpha, p.a, p.b, p.beta, p.c);
    return;
  }
  const KernelSpan span(stream, [&] {
    const auto flops = [](const RowProduct& p) {
      return 2.0 * static_cast<double>(p.c.num_elements() * p.a.cols());
    };
    const auto largest = std::max_element(
        products.begin(), products.end(),
        [&](const RowProduct& a, const RowProduct& b) { return flops(a) < flops(b); });
    KernelCall call{transpose_b == Transpose::kYes ? "gemm_rows_nt" : "gemm_rows_nn",
                    {largest->c.rows(), largest->c.cols(), largest->a.cols()},
                    0,
                    0};
    for (const RowProduct& p : products) {
      call.flops += flops(p);
      call.bytes += bytes_of(p.a, p.b, p.c) + (p.beta == 0 ? 0 : bytes_of(p.c));
    }
    return call;
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::gemm_by_rows(stream, transpose_b, products);
      return;
    case DeviceType::kCuda:
      for (const RowProduct& p : products) {
        cuda::gemm(stream, Transpose::kNo, transpose_b, p.alpha, p.a, p.b, p.beta, p.c);
      }
      return;
  }
}

}  // namespace finescale
