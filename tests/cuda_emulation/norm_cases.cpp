// SPDX-License-Identifier: Apache-2.0
// RMSNorm and LayerNorm, of which the output alone may be bf16; norms of heads. Residuals where the
// size's `more` is 2.
#include "kernels/cuda/head_norm.h"
#include "kernels/cuda/layernorm.h"
#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/rmsnorm.h"
#include "tests/cuda_emulation/cases.h"

namespace finescale {

namespace {

Results rmsnorm(const Side& side, const Size& size) {
  Array x = side.wide_input(1, size.rows, size.cols, 3);
  Array residual = side.wide_input(2, size.rows, size.cols, 1);
  Array weight = side.wide_input(3, 1, size.cols);
  Array dy = side.wide_input(4, size.rows, size.cols, 2);
  Array dx = side.wide_input(5, size.rows, size.cols, 1);
  Array dweight = side.wide_input(6, 1, size.cols);
  Array y = side.output(size.rows, size.cols, 2);
  Array rstd = side.wide_output(1, size.rows);
  const TensorView added = size.more == 2 ? residual.view() : TensorView();
  const auto forward = side.is_cuda() ? cuda::rmsnorm_forward : rmsnorm_forward;
  forward(side.stream, x.view(), added, weight.vector(), 1e-5, y.view(), rstd.vector());
  if (side.is_cuda()) {
    Array partials = side.wide_output(cuda::norm_partials(size.rows), size.cols);
    cuda::rmsnorm_backward(side.stream, dy.view(), x.view(), weight.vector(), rstd.vector(),
                           dx.view(), dweight.vector(), partials.view());
  } else {
    rmsnorm_backward(side.stream, dy.view(), x.view(), weight.vector(), rstd.vector(), dx.view(),
                     dweight.vector());
  }
  return {{"x", x}, {"y", y}, {"rstd", rstd}, {"dx", dx}, {"dweight", dweight}};
}

Results layernorm(const Side& side, const Size& size) {
  Array x = side.wide_input(1, size.rows, size.cols, 3);
  Array residual = side.wide_input(2, size.rows, size.cols, 1);
  Array weight = side.wide_input(3, 1, size.cols);
  Array bias = side.wide_input(4, 1, size.cols);
  Array dy = side.wide_input(5, size.rows, size.cols, 2);
  Array dx = side.wide_input(6, size.rows, size.cols, 1);
  Array dweight = side.wide_input(7, 1, size.cols);
  Array y = side.output(size.rows, size.cols, 2);
  Array statistics = side.wide_output(size.rows, 2);
  const TensorView added = size.more == 2 ? residual.view() : TensorView();
  const auto forward = side.is_cuda() ? cuda::layernorm_forward : layernorm_forward;
  forward(side.stream, x.view(), added, weight.vector(), bias.vector(), 1e-2, y.view(),
          statistics.view());
  if (side.is_cuda()) {
    Array partials = side.wide_output(cuda::norm_partials(size.rows), size.cols);
    cuda::layernorm_backward(side.stream, dy.view(), x.view(), weight.vector(), statistics.view(),
                             dx.view(), dweight.vector(), partials.view());
  } else {
    layernorm_backward(side.stream, dy.view(), x.view(), weight.vector(), statistics.view(),
                       dx.view(), dweight.vector());
  }
  return {{"x", x}, {"y", y}, {"statistics", statistics}, {"dx", dx}, {"dweight", dweight}};
}

// `more` heads.
Results head_norm(const Side& side, const Size& size) {
  const std::int64_t heads = size.more;
  Array x = side.input(1, size.rows, heads * size.cols, 3);
  Array weight = side.wide_input(2, 1, size.cols);
  Array dy = side.input(3, size.rows, heads * size.cols, 2);
  Array dweight = side.wide_input(4, 1, size.cols);
  Array y = side.output(size.rows, heads * size.cols, 2);
  Array rstd = side.wide_output(size.rows, heads);
  const auto forward = side.is_cuda() ? cuda::head_norm_forward : head_norm_forward;
  forward(side.stream, x.view(), weight.vector(), 1e-2, y.view(), rstd.view());
  if (side.is_cuda()) {
    Array partials = side.wide_output(cuda::column_partials(size.rows), size.cols);
    cuda::head_norm_backward(side.stream, dy.view(), x.view(), weight.vector(), rstd.view(),
                             dy.view(), dweight.vector(), partials.view());
  } else {
    head_norm_backward(side.stream, dy.view(), x.view(), weight.vector(), rstd.view(), dy.view(),
                       dweight.vector());
  }
  return {{"y", y}, {"rstd", rstd}, {"dx", dy}, {"dweight", dweight}};
}

}  // namespace

std::vector<Case> norm_cases() {
  const std::vector<DType> all = {DType::kF32, DType::kBf16, DType::kF64};
  return {{.name = "rmsnorm",
           .dtypes = all,
           .sizes = {{1, 1}, {3, 75, 2}, {70, 33, 2}, {2, 1000}, {2, 3001, 2}},
           .slow_sizes = {{3001, 75, 2}},
           .run = rmsnorm},
          {.name = "layernorm",
           .dtypes = all,
           .sizes = {{1, 2}, {3, 75, 2}, {70, 33, 2}, {2, 1000}, {2, 3001, 2}},
           .slow_sizes = {{3001, 75, 2}},
           .run = layernorm},
          {.name = "head_norm",
           .dtypes = all,
           .sizes = {{1, 2, 1}, {3, 40, 2}, {70, 16, 3}, {1100, 40, 1}, {2, 100, 1}, {1, 75, 1}},
           .slow_sizes = {{3001, 75, 2}},
           .run = head_norm}};
}

}  // namespace finescale
