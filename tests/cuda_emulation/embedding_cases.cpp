// SPDX-License-Identifier: Apache-2.0
// Token embedding; `more` is the vocabulary, one token in five is another rank's.
#include "kernels/cuda/embedding.h"
#include "kernels/round.h"
#include "tests/cuda_emulation/cases.h"

namespace finescale {

namespace {

Array tokens_of(const Size& size) {
  Array tokens(DType::kI32, size.rows, 1);
  for (std::int64_t t = 0; t < size.rows; ++t) {
    const std::int64_t token = (t * 7919 + t / 3) % size.more;
    tokens.set(t, 0, static_cast<double>(t % 5 == 3 ? kNoRow : token));
  }
  return tokens;
}

Results embedding(const Side& side, const Size& size) {
  Array tokens = tokens_of(size);
  Array weight = side.input(1, size.more, size.cols);
  Array y = side.output(size.rows, size.cols, 8);
  Array dy = side.input(2, size.rows, size.cols, 8);
  Array to = side.wide_input(3, size.more, size.cols, 4);
  if (side.is_cuda()) {
    Array order(DType::kI32, 4, size.rows);
    cuda::embedding_forward(side.stream, tokens.vector(), weight.view(), y.view());
    cuda::embedding_backward(side.stream, tokens.vector(), dy.view(), order.view(), to.view());
  } else {
    embedding_forward(side.stream, tokens.vector(), weight.view(), y.view());
    embedding_backward(side.stream, tokens.vector(), dy.view(), to.view());
  }
  return {{"y", y}, {"to", to}};
}

// A table that is bf16 alone, as f32.
Results embedding_of_bf16(const Side& side, const Size& size) {
  Array tokens = tokens_of(size);
  Array weight = side.bf16_input(1, size.more, size.cols, rounded_stride(size.cols) - size.cols);
  Array y = side.output(size.rows, size.cols, 8);
  const auto look_up = side.is_cuda() ? cuda::embedding_forward : embedding_forward;
  look_up(side.stream, tokens.vector(), weight.view(), y.view());
  return {{"y", y}};
}

// Every second row of a table gets one.
Results add_rows_at(const Side& side, const Size& size) {
  Array ids(DType::kI32, 1, size.rows);
  for (std::int64_t u = 0; u < size.rows; ++u) {
    ids.set(0, u, static_cast<double>(2 * (size.rows - 1 - u)));
  }
  Array rows = side.input(1, size.rows, size.cols, size.more);
  Array to = side.input(2, 2 * size.rows, size.cols, size.more);
  const auto add = side.is_cuda() ? cuda::add_rows : add_rows;
  add(side.stream, ids.vector(), rows.view(), to.view());
  return {{"to", to}};
}

}  // namespace

std::vector<Case> embedding_cases() {
  return {{.name = "embedding",
           .dtypes = {DType::kF32, DType::kBf16, DType::kF64},
           .sizes = {{1, 1, 3}, {75, 75, 5}, {300, 64, 7}, {1000, 8, 300}, {40, 1000, 6}},
           .slow_sizes = {{3001, 64, 50}},
           .run = embedding},
          {.name = "embedding_of_bf16",
           .dtypes = {DType::kF32},
           .sizes = {{1, 1, 3}, {75, 75, 5}, {300, 64, 7}, {40, 1000, 6}},
           .slow_sizes = {},
           .run = embedding_of_bf16},
          {.name = "add_rows",
           .dtypes = {DType::kF32, DType::kF64},
           .sizes = {{1, 1, 1}, {3, 75, 1}, {5, 1000, 4}, {2, 3001, 0}},
           .slow_sizes = {},
           .run = add_rows_at}};
}

}  // namespace finescale
