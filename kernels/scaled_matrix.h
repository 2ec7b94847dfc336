// SPDX-License-Identifier: Apache-2.0
// A matrix between two diagonals, which alone are learnt. R rows, C columns.
#pragma once

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// out [R, C] = diag(rows [R]) matrix [R, C] diag(columns [C]).
void scale_matrix(const Stream& stream, const TensorView& rows, const TensorView& matrix,
                  const TensorView& columns, const TensorView& out);

// From dout [R, C]: drows [R] += sum over C of dout matrix columns, dcolumns [C] += sum over R of
// rows dout matrix. Sums go in the order of their elements.
void scale_matrix_gradient(const Stream& stream, const TensorView& dout, const TensorView& rows,
                           const TensorView& matrix, const TensorView& columns,
                           const TensorView& drows, const TensorView& dcolumns);

}  // namespace finescale
