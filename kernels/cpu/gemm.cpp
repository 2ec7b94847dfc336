// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <oneapi/dnnl/dnnl.h>

#include "core/aligned_buffer.h"
#include "core/error.h"
#include "core/parallel.h"
#include "kernels/cpu/bf16_products.h"
#include "kernels/cpu/bf16_tile.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/narrow_gemm.h"

namespace finescale::cpu {

namespace {

struct Sizes {
  std::int64_t m, n, k;
};

Sizes sizes_of(Transpose transpose_a, Transpose transpose_b, const TensorView& a,
               const TensorView& b, const TensorView& c) {
  const std::int64_t m = transpose_a == Transpose::kNo ? a.rows() : a.cols();
  const std::int64_t k = transpose_a == Transpose::kNo ? a.cols() : a.rows();
  const std::int64_t n = transpose_b == Transpose::kNo ? b.cols() : b.rows();
  const std::int64_t k_b = transpose_b == Transpose::kNo ? b.rows() : b.cols();
  FS_CHECK(k == k_b && c.rows() == m && c.cols() == n,
           "gemm shapes " + a.shape.text() + " " + b.shape.text() + " " + c.shape.text());
  return {m, n, k};
}

// Dense copy of op(x) [rows, cols].
std::vector<double> packed(Transpose transpose, const TensorView& x, std::int64_t rows,
                           std::int64_t cols) {
  std::vector<double> out(static_cast<std::size_t>(rows * cols));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      out[static_cast<std::size_t>(i * cols + j)] = transpose == Transpose::kNo
                                                        ? x.as<double>()[i * x.row_stride + j]
                                                        : x.as<double>()[j * x.row_stride + i];
    }
  }
  return out;
}

// sums [n] = row i of left [m, k] times right [k, n].
void multiply_row(const std::vector<double>& left, const std::vector<double>& right,
                  const Sizes& size, std::int64_t i, std::vector<double>& sums) {
  std::fill(sums.begin(), sums.end(), 0.0);
  for (std::int64_t l = 0; l < size.k; ++l) {
    const double factor = left[static_cast<std::size_t>(i * size.k + l)];
    const double* row = right.data() + l * size.n;
    for (std::int64_t j = 0; j < size.n; ++j) {
      sums[static_cast<std::size_t>(j)] += factor * row[j];
    }
  }
}

// Double precision serves gradient checks and `precision: f64`; oneDNN has none. One k-order per
// element.
void gemm_f64(Transpose transpose_a, Transpose transpose_b, double alpha, const TensorView& a,
              const TensorView& b, double beta, const TensorView& c, const Sizes& size) {
  const std::vector<double> left = packed(transpose_a, a, size.m, size.k);
  const std::vector<double> right = packed(transpose_b, b, size.k, size.n);
  parallel_for(size.m, 8, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> sums(static_cast<std::size_t>(size.n));
    for (std::int64_t i = begin; i < end; ++i) {
      multiply_row(left, right, size, i, sums);
      double* out = c.as<double>() + i * c.row_stride;
      for (std::int64_t j = 0; j < size.n; ++j) {
        out[j] = alpha * sums[static_cast<std::size_t>(j)] + (beta == 0 ? 0 : beta * out[j]);
      }
    }
  });
}

// How C is cut. The cuts follow from the shape alone and every block is one thread's call, so no
// bit depends on the number of threads; the library's own cuts do change bits (AVX2 from 2 threads
// on, AVX-512 from 8). Against one uncut call on one thread the blocks cost 0 to 5%.
struct Blocks {
  std::int64_t rows, cols;          // of a block
  std::int64_t num_rows, num_cols;  // blocks along each dimension
  [[nodiscard]] std::int64_t count() const noexcept { return num_rows * num_cols; }
};

constexpr std::int64_t kLargest = 512;  // rows or columns: beyond, packing is amortised
constexpr std::int64_t kTile = 64;      // whole register tiles of every instruction set

std::int64_t cut(std::int64_t length) {
  static constexpr std::int64_t kPieces = 8;
  const std::int64_t piece = (length + kPieces - 1) / kPieces;
  return std::clamp((piece + kTile - 1) / kTile * kTile, kTile, kLargest);
}

Blocks blocks_of(const Sizes& size) {
  static constexpr std::int64_t kAlone = std::int64_t{1}
                                         << 18;  // below, waking a thread costs more
  Blocks blocks = {size.m, size.n, 1, 1};
  if (size.m * size.n * size.k >= kAlone) {
    const bool tall = size.m >= size.n;
    std::int64_t& longer = tall ? blocks.rows : blocks.cols;
    std::int64_t& other = tall ? blocks.cols : blocks.rows;
    longer = cut(longer);
    other = other > 2 * kLargest ? kLargest : other;
  }
  blocks.num_rows = (size.m + blocks.rows - 1) / blocks.rows;
  blocks.num_cols = (size.n + blocks.cols - 1) / blocks.cols;
  return blocks;
}

// Rows of an operand, dense or with a stride.
struct Rows {
  const float* data;
  std::int64_t stride;
};

// Rows whose distance is a multiple of 4 KiB meet in a few places of the nearest cache, and a
// product that reads down their columns waits for it: with AVX2 at half the rate, with AVX-512 at
// 0.7 to 0.9 of it. A copy with rows a line further apart costs a twentieth.
Rows spread(const Rows& rows, std::int64_t count, std::int64_t columns, AlignedBuffer& scratch) {
  static constexpr std::int64_t kMeeting = 4096 / sizeof(float);
  static constexpr std::int64_t kLine = 64 / sizeof(float);
  if (rows.stride % kMeeting != 0) {
    return rows;
  }
  const std::int64_t stride = (columns + kLine - 1) / kLine * kLine + kLine;
  const auto bytes = static_cast<std::size_t>(count * stride) * sizeof(float);
  if (scratch.size_bytes() < bytes) {
    scratch = AlignedBuffer(bytes);
  }
  auto* const to = static_cast<float*>(scratch.data());
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(to + i * stride, rows.data + i * rows.stride,
                static_cast<std::size_t>(columns) * sizeof(float));
  }
  return {to, stride};
}

void multiply_block(Transpose transpose_a, Transpose transpose_b, double alpha, const TensorView& a,
                    const TensorView& b, double beta, const TensorView& c, const Sizes& size,
                    const Blocks& blocks, std::int64_t index) {
  const std::int64_t row = index / blocks.num_cols * blocks.rows;
  const std::int64_t col = index % blocks.num_cols * blocks.cols;
  const std::int64_t rows = std::min(blocks.rows, size.m - row);
  const std::int64_t cols = std::min(blocks.cols, size.n - col);
  Rows left = {a.as<float>() + (transpose_a == Transpose::kNo ? row * a.row_stride : row),
               a.row_stride};
  Rows right = {b.as<float>() + (transpose_b == Transpose::kNo ? col : col * b.row_stride),
                b.row_stride};
  if (transpose_a == Transpose::kYes && transpose_b == Transpose::kNo) {  // a gradient of weights
    thread_local std::array<AlignedBuffer, 2> scratch;
    left = spread(left, size.k, rows, scratch[0]);
    right = spread(right, size.k, cols, scratch[1]);
  }
  const dnnl_status_t status = dnnl_sgemm(
      transpose_a == Transpose::kNo ? 'N' : 'T', transpose_b == Transpose::kNo ? 'N' : 'T', rows,
      cols, size.k, static_cast<float>(alpha), left.data, left.stride, right.data, right.stride,
      static_cast<float>(beta), c.as<float>() + row * c.row_stride + col, c.row_stride);
  if (status != dnnl_success) {
    throw Error(ErrorKind::kInternal, "dnnl_sgemm failed with status " + std::to_string(status));
  }
}

}  // namespace

namespace {

void gemm_f32(Transpose transpose_a, Transpose transpose_b, double alpha, const TensorView& a,
              const TensorView& b, double beta, const TensorView& c, const Sizes& size) {
  if (is_narrow(transpose_a, size.m, size.n)) {
    multiply_narrow(transpose_b, static_cast<float>(alpha), a, b, static_cast<float>(beta), c);
    return;
  }
  const Blocks blocks = blocks_of(size);
  const auto run = [&](std::int64_t index) {
    multiply_block(transpose_a, transpose_b, alpha, a, b, beta, c, size, blocks, index);
  };
  if (blocks.count() == 1) {  // outside a parallel region the library would start its own threads
    const OneThread alone;
    run(0);
    return;
  }
  parallel_items(blocks.count(), run);
}

bool rounds(const Stream& stream, const TensorView& c) {
  return stream.products() == Products::kBf16 && c.dtype == DType::kF32;
}

// The first column of `whole` that `part` is in, or -1: it lies elsewhere. Of the same rows.
std::int64_t column_in(const TensorView& part, const TensorView& whole) {
  const std::ptrdiff_t column = part.as<float>() - whole.as<float>();
  const bool lies_in =
      part.row_stride == whole.row_stride && column >= 0 && column + part.cols() <= whole.cols();
  return lies_in ? column : -1;
}

// Whether the first product had better be cut like one of its own: its b is so wide that laying it
// out anew for every block of rows would show (a fifth of the rate at 3,072 columns). One product
// may lie elsewhere, so that the rest can read it; nothing may read the first.
bool goes_by_blocks(std::span<const RowProduct> products) {
  static constexpr std::int64_t kWide = 2 * kLargest;
  const TensorView& c = products.front().c;
  const auto lies_elsewhere = [&](const RowProduct& p) { return column_in(p.c, c) < 0; };
  const auto reads_first = [&](const RowProduct& p) { return column_in(p.a, c) >= 0; };
  return c.cols() > kWide && c.rows() <= c.cols() &&
         std::count_if(products.begin(), products.end(), lies_elsewhere) <= 1 &&
         std::none_of(products.begin(), products.end(), reads_first);
}

// Columns [begin, end) of c, which is one block of rows already.
void multiply_columns_of(Transpose transpose_b, const RowProduct& p, std::int64_t begin,
                         std::int64_t end) {
  if (begin >= end) {
    return;
  }
  const TensorView b =
      transpose_b == Transpose::kYes ? p.b.row_range(begin, end) : p.b.columns(begin, end);
  const TensorView c = p.c.columns(begin, end);
  const Sizes size = {c.rows(), c.cols(), p.a.cols()};
  multiply_block(Transpose::kNo, transpose_b, p.alpha, p.a, b, p.beta, c, size,
                 {size.m, size.n, 1, 1}, 0);
}

void multiply_by_blocks(const Stream& stream, Transpose transpose_b,
                        std::span<const RowProduct> products) {
  const TensorView& whole = products.front().c;
  for (const RowProduct& p : products) {
    if (column_in(p.c, whole) < 0) {
      cpu::gemm(stream, Transpose::kNo, transpose_b, p.alpha, p.a, p.b, p.beta, p.c);
    }
  }
  const Blocks blocks = blocks_of({whole.rows(), whole.cols(), products.front().a.cols()});
  parallel_items(blocks.count(), [&](std::int64_t item) {
    const OneThread alone;
    const std::int64_t row = item / blocks.num_cols * blocks.rows;
    const std::int64_t end_row = std::min(row + blocks.rows, whole.rows());
    const std::int64_t column = item % blocks.num_cols * blocks.cols;
    const std::int64_t end_column = std::min(column + blocks.cols, whole.cols());
    for (const RowProduct& p : products) {
      const std::int64_t first = column_in(p.c, whole);
      if (first >= 0) {
        const RowProduct rows = {p.alpha, p.a.row_range(row, end_row), p.b, p.beta,
                                 p.c.row_range(row, end_row)};
        multiply_columns_of(transpose_b, rows, std::max(column - first, std::int64_t{0}),
                            std::min(end_column - first, p.c.cols()));
      }
    }
  });
}

}  // namespace

void gemm(const Stream& stream, Transpose transpose_a, Transpose transpose_b, double alpha,
          const TensorView& a, const TensorView& b, double beta, const TensorView& c) {
  ensure_isa();
  const Sizes size = sizes_of(transpose_a, transpose_b, a, b, c);
  if (size.m == 0 || size.n == 0) {
    return;
  }
  if (c.dtype == DType::kF64) {
    gemm_f64(transpose_a, transpose_b, alpha, a, b, beta, c, size);
  } else if (!rounds(stream, c)) {
    FS_CHECK(b.dtype == DType::kF32, "a product of bf16 that is not asked for");
    gemm_f32(transpose_a, transpose_b, alpha, a, b, beta, c, size);
  } else if (multiplies_bf16()) {
    multiply_bf16(transpose_a, transpose_b, {alpha, a, b, beta, c});
  } else {
    gemm_f32(transpose_a, transpose_b, alpha, rounded_copy(Operand::kLeft, a),
             rounded_copy(Operand::kRight, b), beta, c, size);
  }
}

void gemm_by_rows(const Stream& stream, Transpose transpose_b,
                  std::span<const RowProduct> products) {
  static constexpr std::int64_t kFewest = 256;  // rows: fewer leave threads without a block
  ensure_isa();
  const std::int64_t rows = products.front().c.rows();
  const bool is_rounded = rounds(stream, products.front().c);
  if (is_rounded && multiplies_bf16()) {
    multiply_bf16_by_rows(transpose_b, products);
    return;
  }
  if (rows < kFewest || is_rounded || products.front().c.dtype == DType::kF64) {
    for (const RowProduct& p : products) {
      cpu::gemm(stream, Transpose::kNo, transpose_b, p.alpha, p.a, p.b, p.beta, p.c);
    }
    return;
  }
  if (goes_by_blocks(products)) {
    multiply_by_blocks(stream, transpose_b, products);
    return;
  }
  const std::int64_t block = cut(rows);
  const auto multiply = [&](const RowProduct& p, std::int64_t begin, std::int64_t end) {
    const TensorView a = p.a.row_range(begin, end);
    const TensorView c = p.c.row_range(begin, end);
    const Sizes size = sizes_of(Transpose::kNo, transpose_b, a, p.b, c);
    if (size.n > 0) {
      multiply_block(Transpose::kNo, transpose_b, p.alpha, a, p.b, p.beta, c, size,
                     {size.m, size.n, 1, 1}, 0);
    }
  };
  parallel_items((rows + block - 1) / block, [&](std::int64_t item) {
    const OneThread alone;  // also where there is but one thread or one block
    for (const RowProduct& p : products) {
      multiply(p, item * block, std::min((item + 1) * block, rows));
    }
  });
}

}  // namespace finescale::cpu
