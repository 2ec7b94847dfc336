// SPDX-License-Identifier: Apache-2.0
// Matrix products by the vendor library that measurement favours (docs/measurements.md). Row-major.
#pragma once

#include <span>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

enum class Transpose { kNo, kYes };

// c [M, N] = alpha * op(a) op(b) + beta * c, op(a) [M, K], op(b) [K, N]. f32 or f64, row strides
// respected. The same shape on the same ISA gives the same bits on any number of threads. With
// Products::kBf16 f32 operands are rounded to bf16 (sums stay f32), and b may be stored as bf16,
// on a GPU a and c too; f64 is as it is.
void gemm(const Stream& stream, Transpose transpose_a, Transpose transpose_b, double alpha,
          const TensorView& a, const TensorView& b, double beta, const TensorView& c);

// c [M, N] = alpha * a [M, K] op(b) + beta * c.
struct RowProduct {
  double alpha;
  TensorView a;
  TensorView b;
  double beta;
  TensorView c;
};
// Products of the same M one after the other; one may read rows of a c that came before it. They
// are computed a block of rows at a time, so that what several read or add to is still in the
// cache: the low-rank branch of a layer takes little arithmetic and would wait for memory alone.
// Where the blocks are cut depends on the shapes alone, so the same bits on any number of threads;
// a first product that is much wider than high is cut by columns too.
void gemm_by_rows(const Stream& stream, Transpose transpose_b,
                  std::span<const RowProduct> products);

// How what products read and make of each other is best stored, where all else is `dtype`: on a GPU
// with Products::kBf16 as bf16 by who makes it, so that it is half as large and no product rounds
// it.
[[nodiscard]] DType operand_dtype(const Stream& stream, DType dtype);

// A matrix that several products of a stream read, whole, while this lives; nobody changes it.
// Where products round their operands (Stream::products) it is rounded once.
class SharedOperand {
 public:
  SharedOperand(const Stream& stream, const TensorView& matrix);
  ~SharedOperand();
  SharedOperand(const SharedOperand&) = delete;
  SharedOperand& operator=(const SharedOperand&) = delete;

 private:
  Stream stream_;
  TensorView matrix_;  // empty: nothing is kept
};

}  // namespace finescale
