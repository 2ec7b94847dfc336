// SPDX-License-Identifier: Apache-2.0
#include "kernels/gradient_norm.h"

#include <algorithm>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"
#include "kernels/reduce.h"

namespace finescale {

namespace {

// The host has no rows of words: it adds to an ExactSum.
void refuse_cpu(const Stream& stream, const char* operation) {
  if (!stream.on_gpu()) {
    no_kernel(operation);
  }
}

}  // namespace

std::int64_t square_rows(std::int64_t count) noexcept {
  constexpr std::int64_t kMost = 256;
  constexpr std::int64_t kBlocksOfRow = 4096;  // 64 of every thread that adds to it
  const std::int64_t blocks = (count + kNormBlock - 1) / kNormBlock;
  return std::clamp<std::int64_t>((blocks + kBlocksOfRow - 1) / kBlocksOfRow, 1, kMost);
}

void add_squares(const Stream& stream, const TensorView& x, const TensorView& words) {
  refuse_cpu(stream, "add_squares");
  const KernelSpan span(stream, [&] {
    return KernelCall{"squared_norm", {x.num_elements()}, 0, bytes_of(x)};
  });
  cuda::add_squares(stream, x, words);
}

void sum_words(const Stream& stream, const TensorView& words, const TensorView& total) {
  refuse_cpu(stream, "sum_words");
  cuda::sum_words(stream, words, total);
}

void root_of_words(const Stream& stream, const TensorView& words, const TensorView& norm) {
  refuse_cpu(stream, "root_of_words");
  cuda::root_of_words(stream, words, norm);
}

void clip_factors(const Stream& stream, const TensorView& norm, double max_norm, DType dtype,
                  void* rows, std::int64_t count) {
  refuse_cpu(stream, "clip_factors");
  cuda::clip_factors(stream, norm, max_norm, dtype, rows, count);
}

}  // namespace finescale
