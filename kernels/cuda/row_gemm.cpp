// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/row_gemm.h"

#include "core/error.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/scratch.h"

namespace finescale::cuda {

void row_gemm(const Stream& stream, double alpha, const TensorView& x, const TensorView& w,
              double beta, const TensorView& y) {
  FS_CHECK(x.cols() == w.cols() && x.rows() == y.rows() && w.rows() == y.cols(),
           "row_gemm multiplies [M, K] by [N, K] to [M, N]");
  const std::int64_t needed = row_gemm_partials(y.rows(), y.cols(), x.cols());
  if (needed == 0) {
    row_gemm(stream, alpha, x, w, beta, y, TensorView());
    return;
  }
  const ScratchTensors scratch(stream, {{y.dtype, {needed}}});
  row_gemm(stream, alpha, x, w, beta, y, scratch[0]);
}

}  // namespace finescale::cuda
