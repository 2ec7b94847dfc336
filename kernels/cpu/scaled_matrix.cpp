// SPDX-License-Identifier: Apache-2.0
// Few elements beside the products around them: loops that compilers vectorise.
#include <algorithm>
#include <cstdint>

#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

namespace finescale::cpu {

namespace {

template <class T>
void scale(const TensorView& rows, const TensorView& matrix, const TensorView& columns,
           const TensorView& out, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const T* from = matrix.as<T>() + r * matrix.row_stride;
    T* to = out.as<T>() + r * out.row_stride;
    const T factor = rows.as<T>()[r];
    for (std::int64_t c = 0; c < out.cols(); ++c) {
      to[c] = factor * columns.as<T>()[c] * from[c];
    }
  }
}

template <class T>
void add_row_sums(const TensorView& dout, const TensorView& matrix, const TensorView& columns,
                  const TensorView& drows, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const T* dy = dout.as<T>() + r * dout.row_stride;
    const T* m = matrix.as<T>() + r * matrix.row_stride;
    T sum = 0;
    for (std::int64_t c = 0; c < dout.cols(); ++c) {
      sum += dy[c] * m[c] * columns.as<T>()[c];
    }
    drows.as<T>()[r] += sum;
  }
}

// Of columns [begin, end).
template <class T>
void add_column_sums(const TensorView& dout, const TensorView& rows, const TensorView& matrix,
                     const TensorView& dcolumns, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kColumns = 64;
  T sums[kColumns];
  for (std::int64_t c = begin; c < end; c += kColumns) {
    const std::int64_t count = std::min(kColumns, end - c);
    std::fill_n(sums, count, T(0));
    for (std::int64_t r = 0; r < dout.rows(); ++r) {
      const T* dy = dout.as<T>() + r * dout.row_stride + c;
      const T* m = matrix.as<T>() + r * matrix.row_stride + c;
      const T factor = rows.as<T>()[r];
      for (std::int64_t i = 0; i < count; ++i) {
        sums[i] += factor * dy[i] * m[i];
      }
    }
    for (std::int64_t i = 0; i < count; ++i) {
      dcolumns.as<T>()[c + i] += sums[i];
    }
  }
}

std::int64_t grain(std::int64_t other_side) {
  return std::max<std::int64_t>(1, kGrainElements / std::max<std::int64_t>(1, other_side));
}

}  // namespace

void scale_matrix(const Stream& /*stream*/, const TensorView& rows, const TensorView& matrix,
                  const TensorView& columns, const TensorView& out) {
  parallel_for(out.rows(), grain(out.cols()), [&](std::int64_t begin, std::int64_t end) {
    out.dtype == DType::kF64 ? scale<double>(rows, matrix, columns, out, begin, end)
                             : scale<float>(rows, matrix, columns, out, begin, end);
  });
}

void scale_matrix_gradient(const Stream& /*stream*/, const TensorView& dout, const TensorView& rows,
                           const TensorView& matrix, const TensorView& columns,
                           const TensorView& drows, const TensorView& dcolumns) {
  const bool is_f64 = dout.dtype == DType::kF64;
  parallel_for(dout.rows(), grain(dout.cols()), [&](std::int64_t begin, std::int64_t end) {
    is_f64 ? add_row_sums<double>(dout, matrix, columns, drows, begin, end)
           : add_row_sums<float>(dout, matrix, columns, drows, begin, end);
  });
  parallel_for(dout.cols(), grain(dout.rows()), [&](std::int64_t begin, std::int64_t end) {
    is_f64 ? add_column_sums<double>(dout, rows, matrix, dcolumns, begin, end)
           : add_column_sums<float>(dout, rows, matrix, dcolumns, begin, end);
  });
}

}  // namespace finescale::cpu
