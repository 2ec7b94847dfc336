// SPDX-License-Identifier: Apache-2.0
// Gradients that are sums over rows: with their scratch.
#include "kernels/cuda/bias.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/head_norm.h"
#include "kernels/cuda/layernorm.h"
#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/rmsnorm.h"
#include "kernels/cuda/scratch.h"

namespace finescale::cuda {

void rmsnorm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                      const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                      const TensorView& dweight) {
  const ScratchTensors scratch(
      stream, {{x.dtype, {dweight.empty() ? 0 : norm_partials(x.rows()), x.cols()}}});
  rmsnorm_backward(stream, dy, x, weight, rstd, dx, dweight, scratch[0]);
}

void layernorm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& statistics,
                        const TensorView& dx, const TensorView& dweight) {
  const ScratchTensors scratch(
      stream, {{x.dtype, {dweight.empty() ? 0 : norm_partials(x.rows()), x.cols()}}});
  layernorm_backward(stream, dy, x, weight, statistics, dx, dweight, scratch[0]);
}

void head_norm_backward(const Stream& stream, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                        const TensorView& dweight) {
  const ScratchTensors scratch(stream,
                               {{rstd.dtype, {column_partials(x.rows()), weight.num_elements()}}});
  head_norm_backward(stream, dy, x, weight, rstd, dx, dweight, scratch[0]);
}

void bias_gradient(const Stream& stream, const TensorView& dy, const TensorView& dbias) {
  const ScratchTensors scratch(stream, {{dbias.dtype, {column_partials(dy.rows()), dy.cols()}}});
  bias_gradient(stream, dy, dbias, scratch[0]);
}

}  // namespace finescale::cuda
