// SPDX-License-Identifier: Apache-2.0
// Bound by memory: the compiler's copies and additions are as fast as hand-written vectors.
#include "kernels/embedding.h"

#include <cstdint>
#include <cstring>

#include "core/error.h"
#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

namespace finescale::cpu {

namespace {

// Columns [begin, end) of every row: threads share no column, so rows are added in the order of T
// by each of them.
template <class T>
void add_columns(const TensorView& tokens, const TensorView& dy, const TensorView& dweight,
                 std::int64_t begin, std::int64_t end) {
  const std::int32_t* ids = tokens.as<std::int32_t>();
  for (std::int64_t t = 0; t < dy.rows(); ++t) {
    const T* __restrict from = dy.as<T>() + t * dy.row_stride;
    T* __restrict to = dweight.as<T>() + ids[t] * dweight.row_stride;
    for (std::int64_t c = begin; c < end; ++c) {
      to[c] += from[c];
    }
  }
}

}  // namespace

void embedding_forward(const Stream& /*stream*/, const TensorView& tokens, const TensorView& weight,
                       const TensorView& y) {
  const std::size_t row_bytes = static_cast<std::size_t>(y.cols()) * dtype_size(y.dtype);
  const std::int32_t* ids = tokens.as<std::int32_t>();
  parallel_for(y.rows(), 1 + 65536 / (y.cols() + 1), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      FS_CHECK(ids[t] >= 0 && ids[t] < weight.rows(),
               "token id " + std::to_string(ids[t]) + " is outside the vocabulary");
      std::memcpy(y.row_range(t, t + 1).data, weight.row_range(ids[t], ids[t] + 1).data, row_bytes);
    }
  });
}

void embedding_backward(const Stream& /*stream*/, const TensorView& tokens, const TensorView& dy,
                        const TensorView& dweight) {
  parallel_for(dy.cols(), 32, [&](std::int64_t begin, std::int64_t end) {
    dy.dtype == DType::kF64 ? add_columns<double>(tokens, dy, dweight, begin, end)
                            : add_columns<float>(tokens, dy, dweight, begin, end);
  });
}

}  // namespace finescale::cpu
