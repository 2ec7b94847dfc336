// SPDX-License-Identifier: Apache-2.0
// The norm of gradients, sums, the largest logit.
#include "kernels/cuda/reduce.h"
#include "tests/cuda_emulation/cases.h"

namespace finescale {

namespace {

Results squares(const Side& side, const Size& size) {
  Array x = side.input(1, 1, size.cols);
  Array norm(DType::kF64, 1, 1);
  if (!side.is_cuda()) {
    norm.set(0, 0, squared_norm(side.stream, x.vector()));
    return {{"squared norm", norm}};
  }
  Array sums(DType::kF64, 1, (size.cols + kNormBlock - 1) / kNormBlock);
  Array scratch(DType::kF64, 1, cuda::tree_sum_scratch(sums.cols()));
  cuda::squared_norm_blocks(side.stream, x.vector(), sums.vector());
  cuda::tree_sum(side.stream, sums.vector(), scratch.vector(), norm.vector());
  return {{"squared norm", norm}};
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
  return {{.name = "squared_norm",
           .dtypes = {DType::kF32, DType::kBf16},
           .sizes = {{1, 1}, {1, 75}, {1, 1000}, {1, 3001}, {1, 4096}},
           .slow_sizes = {{1, 3001 * 1024}},
           .run = squares},
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
