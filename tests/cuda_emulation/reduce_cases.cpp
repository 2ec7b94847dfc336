// SPDX-License-Identifier: Apache-2.0
// The norm of gradients and clipping, sums, the largest logit.
#include <cmath>

#include "kernels/cuda/reduce.h"
#include "tests/cuda_emulation/cases.h"

namespace finescale {

namespace {

// Norm and clipping as a step has them; `more` is the largest norm.
Results clip(const Side& side, const Size& size) {
  Array x = side.input(1, 1, size.cols);
  Array norm(DType::kF64, 1, 1);
  if (!side.is_cuda()) {
    norm.set(0, 0, squared_norm(side.stream, x.vector()));
    const double length = std::sqrt(norm.at(0, 0));
    const double factor = std::min(1.0, static_cast<double>(size.more) / length);
    for (std::int64_t c = 0; c < size.cols; ++c) {
      x.set(0, c, factor * x.at(0, c));
    }
    return {{"squared norm", norm}, {"clipped", x}};
  }
  Array sums(DType::kF64, 1, (size.cols + kNormBlock - 1) / kNormBlock);
  Array scratch(DType::kF64, 1, cuda::tree_sum_scratch(sums.cols()));
  Array factor(DType::kF32, 1, 1);
  cuda::squared_norm_blocks(side.stream, x.vector(), sums.vector());
  cuda::tree_sum(side.stream, sums.vector(), scratch.vector(), norm.vector());
  cuda::clip_factor(side.stream, norm.vector(), static_cast<double>(size.more), factor.vector());
  cuda::scale_in_place(side.stream, factor.vector(), x.vector());
  return {{"squared norm", norm}, {"clipped", x}};
}

// Several levels of the tree.
Results tree(const Side& side, const Size& size) {
  Array values = side.input(1, 1, size.cols);
  Array total(DType::kF64, 1, 1);
  total.set(0, 0, 0.5);
  if (side.is_cuda()) {
    Array scratch(DType::kF64, 1, cuda::tree_sum_scratch(size.cols));
    cuda::tree_sum(side.stream, values.vector(), scratch.vector(), total.vector());
  } else {
    total.set(0, 0, 0.5 + sum(side.stream, values.vector()));
  }
  return {{"total", total}};
}

Results add(const Side& side, const Size& size) {
  Array x = side.input(1, 1, size.cols);
  Array y = side.input(2, 1, size.cols);
  Array z = side.input(3, 1, size.cols);
  const auto scaled = side.is_cuda() ? cuda::axpy : axpy;
  const auto plain = side.is_cuda() ? cuda::add_in_place : add_in_place;
  scaled(side.stream, -0.7, x.vector(), y.vector());
  plain(side.stream, x.vector(), z.vector());
  return {{"axpy", y}, {"add", z}};
}

// Ties: the logits are multiples of 1/2 with few values.
Results argmax(const Side& side, const Size& size) {
  Array logits = side.input(1, size.rows, size.cols, 3);
  for (std::int64_t r = 0; r < size.rows; ++r) {
    for (std::int64_t c = 0; c < size.cols; ++c) {
      logits.set(r, c, std::round(2 * logits.at(r, c)) / 2);
    }
  }
  Array indices(DType::kI32, 1, size.rows);
  const auto largest = side.is_cuda() ? cuda::argmax_rows : argmax_rows;
  largest(side.stream, logits.view(), indices.vector());
  return {{"indices", indices}};
}

}  // namespace

std::vector<Case> reduce_cases() {
  const std::vector<DType> all = {DType::kF32, DType::kBf16, DType::kF64};
  return {{.name = "clip",
           .dtypes = {DType::kF32, DType::kBf16},
           .sizes = {{1, 1, 100}, {1, 75, 1}, {1, 1000, 1}, {1, 3001, 3}, {1, 4096, 1}},
           .slow_sizes = {{1, 3001 * 1024, 5}},
           .run = clip},
          {.name = "tree_sum",
           .dtypes = {DType::kF64},
           .sizes = {{1, 1}, {1, 75}, {1, 1000}, {1, 3001}},
           .slow_sizes = {{1, 3001 * 1024}},
           .run = tree,
           .slack = 100},
          {.name = "add",
           .dtypes = all,
           .sizes = {{1, 1}, {1, 75}, {1, 1000}, {1, 3001}},
           .slow_sizes = {},
           .run = add},
          {.name = "argmax",
           .dtypes = all,
           .sizes = {{1, 1}, {3, 75}, {2, 1000}, {2, 3001}},
           .slow_sizes = {},
           .run = argmax}};
}

}  // namespace finescale
