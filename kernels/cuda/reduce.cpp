// SPDX-License-Identifier: Apache-2.0
// Sums that end on the host, and copies.
#include "kernels/cuda/reduce.h"

#include "core/exact_sum.h"
#include "core/transfer.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/exact_words.h"
#include "kernels/cuda/scratch.h"

namespace finescale::cuda {

namespace {

double total_of(const Stream& stream, const TensorView& values) {
  const ScratchTensors scratch(stream,
                               {{DType::kF64, {1 + tree_sum_scratch(values.num_elements())}}});
  const TensorView total(scratch[0].data, DType::kF64, {1});
  const TensorView levels(scratch[0].as<double>() + 1, DType::kF64,
                          {scratch[0].num_elements() - 1});
  cuda::fill_zero(stream, total);
  tree_sum(stream, values, levels, total);
  double sum = 0;
  copy_to_host(stream, total.data, &sum, sizeof sum);
  return sum;
}

std::int64_t norm_blocks(const TensorView& x) {
  return (x.num_elements() + kNormBlock - 1) / kNormBlock;
}

}  // namespace

double squared_norm(const Stream& stream, const TensorView& x) {
  const ScratchTensors sums(stream, {{DType::kF64, {norm_blocks(x)}}});
  squared_norm_blocks(stream, x, sums[0]);
  return total_of(stream, sums[0]);
}

// The sums of the blocks are added exactly, so nothing depends on how many GPUs hold x.
void squared_norm_blocks(const Stream& stream, const TensorView& x, ExactSum& total) {
  if (x.num_elements() == 0) {
    return;
  }
  const ScratchTensors scratch(stream,
                               {{DType::kF64, {square_rows(x.num_elements()), ExactSum::kNumWords}},
                                {DType::kF64, {1, ExactSum::kNumWords}}});
  cuda::fill_zero(stream, scratch[0]);
  cuda::add_squares(stream, x, scratch[0]);
  cuda::sum_words(stream, scratch[0], scratch[1]);
  ExactSum::Words words{};
  copy_to_host(stream, scratch[1].data, words.data(), scratch[1].size_bytes());
  total.merge(ExactSum::from_words(words));
}

void add_squares(const Stream& stream, const TensorView& x, const TensorView& words) {
  const std::int64_t blocks = norm_blocks(x);
  if (blocks == 0) {
    return;
  }
  const ScratchTensors sums(stream, {{DType::kF64, {blocks}}});
  squared_norm_blocks(stream, x, sums[0]);
  exact_words(stream, sums[0], words);
}

double sum(const Stream& stream, const TensorView& x) {
  const ScratchTensors wide(stream, {{DType::kF64, {x.num_elements()}}});
  to_double(stream, x, wide[0]);
  return total_of(stream, wide[0]);
}

void fill_zero(const Stream& stream, const TensorView& x) {
  const std::size_t element = dtype_size(x.dtype);
  if (x.is_dense()) {
    stream.gpu()->clear(x.data, x.size_bytes(), x.size_bytes(), 1);
  } else {
    stream.gpu()->clear(x.data, static_cast<std::size_t>(x.row_stride) * element,
                        static_cast<std::size_t>(x.cols()) * element,
                        static_cast<std::size_t>(x.rows()));
  }
}

void copy(const Stream& stream, const TensorView& from, const TensorView& to) {
  const std::size_t element = dtype_size(from.dtype);
  if (from.is_dense() && to.is_dense()) {
    copy_on_device(stream, from.data, to.data, from.size_bytes());
  } else {
    stream.gpu()->copy_on_device(from.data, static_cast<std::size_t>(from.row_stride) * element,
                                 to.data, static_cast<std::size_t>(to.row_stride) * element,
                                 static_cast<std::size_t>(from.cols()) * element,
                                 static_cast<std::size_t>(from.rows()));
  }
}

}  // namespace finescale::cuda
