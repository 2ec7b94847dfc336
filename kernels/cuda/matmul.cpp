// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"
#include "core/gpu.h"
#include "kernels/bias.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/matmuls.h"
#include "kernels/cuda/rounding.h"

namespace finescale::cuda {

namespace {

void check_shapes(Transpose transpose_a, Transpose transpose_b, const TensorView& a,
                  const TensorView& b, const TensorView& c) {
  const bool plain_a = transpose_a == Transpose::kNo;
  const bool plain_b = transpose_b == Transpose::kNo;
  FS_CHECK((plain_a ? a.rows() : a.cols()) == c.rows() &&
               (plain_b ? b.cols() : b.rows()) == c.cols() &&
               (plain_a ? a.cols() : a.rows()) == (plain_b ? b.rows() : b.cols()),
           "gemm shapes " + a.shape.text() + " " + b.shape.text() + " " + c.shape.text());
}

// An operand of a product, rounded: for that product alone, unless the copy is kept, or it is
// stored so by who made it.
class RoundedOperand {
 public:
  RoundedOperand(const Stream& stream, Matmuls& matmuls, const TensorView& matrix)
      : matmuls_(&matmuls), matrix_(&matrix), is_made_(matrix.dtype != DType::kBf16) {
    if (is_made_) {
      matmuls_->keep_rounded(stream, matrix);
    }
  }
  ~RoundedOperand() {
    if (is_made_) {
      matmuls_->forget_rounded(*matrix_);
    }
  }
  RoundedOperand(const RoundedOperand&) = delete;
  RoundedOperand& operator=(const RoundedOperand&) = delete;
  [[nodiscard]] TensorView view() const {
    return is_made_ ? matmuls_->rounded(*matrix_) : *matrix_;
  }

 private:
  Matmuls* matmuls_;
  const TensorView* matrix_;
  bool is_made_;
};

}  // namespace

void gemm(const Stream& stream, Transpose transpose_a, Transpose transpose_b, double alpha,
          const TensorView& a, const TensorView& b, double beta, const TensorView& c) {
  check_shapes(transpose_a, transpose_b, a, b, c);
  if (c.num_elements() == 0) {
    return;
  }
  if (a.num_elements() == 0) {  // a sum of nothing
    if (beta == 0) {
      cuda::fill_zero(stream, c);
    } else if (beta != 1) {
      cuda::affine_in_place(stream, beta, 0, c);
    }
    return;
  }
  auto& matmuls = stream.gpu()->library<Matmuls>();
  if (stream.products() != Products::kBf16 || c.dtype == DType::kF64) {
    FS_CHECK(a.dtype == c.dtype && b.dtype == c.dtype, "a product of bf16 that is not asked for");
    matmuls.run(stream, alpha, a, transpose_a, b, transpose_b, beta, c);
    return;
  }
  const RoundedOperand rounded_a(stream, matmuls, a);
  const RoundedOperand rounded_b(stream, matmuls, b);
  matmuls.run(stream, alpha, rounded_a.view(), transpose_a, rounded_b.view(), transpose_b, beta, c);
}

void keep_operand(const Stream& stream, const TensorView& matrix) {
  stream.gpu()->library<Matmuls>().keep_rounded(stream, matrix);
}

void forget_operand(const Stream& stream, const TensorView& matrix) noexcept {
  stream.gpu()->library<Matmuls>().forget_rounded(matrix);
}

}  // namespace finescale::cuda
