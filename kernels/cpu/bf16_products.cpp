// SPDX-License-Identifier: Apache-2.0
// B is packed first, by panels; then every item, some rows and panels of C, packs its rows of A.
#include "kernels/cpu/bf16_products.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "core/aligned_buffer.h"
#include "core/error.h"
#include "core/parallel.h"
#include "kernels/cpu/bf16_tile.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/round.h"

namespace finescale::cpu {

namespace {

constexpr std::int64_t kPackedPairs = std::int64_t{4} << 20;  // of B at once: 16 MiB
constexpr std::int64_t kWidest = 2048;                        // columns of B at once
constexpr std::int64_t kAlone = std::int64_t{1} << 18;        // below, waking a thread costs more
constexpr std::int64_t kItems = 16;                           // to be shared by threads

std::uint32_t* pairs_in(AlignedBuffer& buffer, std::int64_t count) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(std::uint32_t);
  if (buffer.size_bytes() < bytes) {
    buffer = AlignedBuffer(bytes);
  }
  return static_cast<std::uint32_t*>(buffer.data());
}

std::int64_t pairs_of(std::int64_t depth) {
  return (depth + 1) / 2;
}

std::int64_t panels_of(std::int64_t columns) {
  return (columns + kPanel - 1) / kPanel;
}

std::int64_t packed_size(std::int64_t depth, std::int64_t columns) {
  return pairs_of(depth) * panels_of(columns) * kPanel;
}

// Rows and columns of op(x).
struct Matrix {
  TensorView x;
  Transpose transpose = Transpose::kNo;

  [[nodiscard]] std::int64_t rows() const {
    return transpose == Transpose::kNo ? x.rows() : x.cols();
  }
  [[nodiscard]] std::int64_t columns() const {
    return transpose == Transpose::kNo ? x.cols() : x.rows();
  }
  [[nodiscard]] Matrix part(std::int64_t row, std::int64_t row_end, std::int64_t column,
                            std::int64_t column_end) const {
    return transpose == Transpose::kNo
               ? Matrix{x.row_range(row, row_end).columns(column, column_end), transpose}
               : Matrix{x.row_range(column, column_end).columns(row, row_end), transpose};
  }
};

struct Product {
  Matrix a, b;
  float alpha, beta;
  TensorView c;

  [[nodiscard]] std::int64_t depth() const { return b.rows(); }
  [[nodiscard]] std::int64_t columns() const { return b.columns(); }
  [[nodiscard]] double work() const {
    return static_cast<double>(c.num_elements()) * static_cast<double>(depth());
  }
};

template <class Body>
void for_items(std::int64_t count, bool alone, Body&& body) {
  if (!alone) {
    parallel_items(count, body);
    return;
  }
  for (std::int64_t item = 0; item < count; ++item) {
    body(item);
  }
}

// Parts of kDepth one behind the other, in each the panels.
void pack_column(const Product& p, std::int64_t panel, std::uint32_t* packed) {
  const std::int64_t column = panel * kPanel;
  const std::int64_t end = std::min(column + kPanel, p.columns());
  for (std::int64_t k = 0; k < p.depth(); k += kDepth) {
    const std::int64_t k_end = std::min(k + kDepth, p.depth());
    const Matrix part = p.b.part(k, k_end, column, end);
    std::uint32_t* const to =
        packed + packed_size(k, p.columns()) + panel * pairs_of(k_end - k) * kPanel;
    part.transpose == Transpose::kNo ? pack_panel(part.x, to) : pack_panel_transposed(part.x, to);
  }
}

// Rows [row, row_end) and panels [panel, panel_end) of C.
void multiply_part(const Product& p, const std::uint32_t* packed, std::int64_t row,
                   std::int64_t row_end, std::int64_t panel, std::int64_t panel_end) {
  thread_local AlignedBuffer scratch;
  std::uint32_t* const place = pairs_in(scratch, kBlockPairs);
  for (std::int64_t k = 0; k < p.depth(); k += kDepth) {
    const std::int64_t k_end = std::min(k + kDepth, p.depth());
    const Matrix part = p.a.part(row, row_end, k, k_end);
    const PackedRows rows = part.transpose == Transpose::kNo ? pack_rows(part.x, place)
                                                             : pack_rows_transposed(part.x, place);
    const std::int64_t pairs = pairs_of(k_end - k);
    const std::uint32_t* const panels = packed + packed_size(k, p.columns());
    for (std::int64_t j = panel; j < panel_end; ++j) {
      const TensorView c =
          p.c.row_range(row, row_end).columns(j * kPanel, std::min((j + 1) * kPanel, p.columns()));
      multiply_panel(rows, panels + j * pairs * kPanel, pairs, p.alpha, k == 0 ? p.beta : 1, c);
    }
  }
}

// Each product's rows are made in the order of the products.
void multiply(std::span<const Product> products) {
  static constexpr std::size_t kMost = 16;
  FS_CHECK(products.size() <= kMost, "too many products at once");
  thread_local AlignedBuffer scratch;
  std::array<std::int64_t, kMost + 1> offsets{};
  std::array<std::int64_t, kMost + 1> panels{};
  double work = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    offsets[i + 1] = offsets[i] + packed_size(products[i].depth(), products[i].columns());
    panels[i + 1] = panels[i] + panels_of(products[i].columns());
    work += products[i].work();
  }
  std::uint32_t* const packed = pairs_in(scratch, offsets[products.size()]);
  const bool alone = work < static_cast<double>(kAlone);
  for_items(panels[products.size()], alone, [&](std::int64_t item) {
    std::size_t i = 0;
    while (item >= panels[i + 1]) {
      ++i;
    }
    pack_column(products[i], item - panels[i], packed + offsets[i]);
  });
  const std::int64_t rows = products.front().c.rows();
  const std::int64_t block = std::clamp((rows / kItems + kTileRows - 1) / kTileRows * kTileRows,
                                        8 * kTileRows, kBlockRows);
  const std::int64_t blocks = (rows + block - 1) / block;
  const std::int64_t width = products.size() > 1
                                 ? panels[products.size()]
                                 : std::max<std::int64_t>(1, panels[1] * blocks / kItems);
  const std::int64_t groups = products.size() > 1 ? 1 : (panels[1] + width - 1) / width;
  for_items(blocks * groups, alone, [&](std::int64_t item) {
    const std::int64_t row = item / groups * block;
    const std::int64_t row_end = std::min(row + block, rows);
    for (std::size_t i = 0; i < products.size(); ++i) {
      const std::int64_t count = panels[i + 1] - panels[i];
      const std::int64_t panel = item % groups * width;
      multiply_part(products[i], packed + offsets[i], row, row_end, panel,
                    std::min(panel + width, count));
    }
  });
}

Product checked(Transpose transpose_a, Transpose transpose_b, const RowProduct& p) {
  const Product product = {{p.a, transpose_a},
                           {p.b, transpose_b},
                           static_cast<float>(p.alpha),
                           static_cast<float>(p.beta),
                           p.c};
  FS_CHECK(product.a.columns() == product.depth() && product.a.rows() == p.c.rows() &&
               product.columns() == p.c.cols(),
           "gemm shapes " + p.a.shape.text() + " " + p.b.shape.text() + " " + p.c.shape.text());
  return product;
}

}  // namespace

void multiply_bf16(Transpose transpose_a, Transpose transpose_b, const RowProduct& product) {
  const Product all = checked(transpose_a, transpose_b, product);
  const std::int64_t width = std::min(kWidest, all.columns());
  const std::int64_t depth =
      std::max<std::int64_t>(kDepth, kPackedPairs / packed_size(kDepth, width) * kDepth);
  for (std::int64_t column = 0; column < all.columns(); column += width) {
    const std::int64_t column_end = std::min(column + width, all.columns());
    for (std::int64_t k = 0; k < all.depth(); k += depth) {
      const std::int64_t k_end = std::min(k + depth, all.depth());
      const Product part = {all.a.part(0, all.a.rows(), k, k_end),
                            all.b.part(k, k_end, column, column_end), all.alpha,
                            k == 0 ? all.beta : 1, all.c.columns(column, column_end)};
      multiply({&part, 1});
    }
  }
}

void multiply_bf16_by_rows(Transpose transpose_b, std::span<const RowProduct> products) {
  std::array<Product, 16> checked_products;
  FS_CHECK(products.size() <= checked_products.size(), "too many products at once");
  std::int64_t packed = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    checked_products[i] = checked(Transpose::kNo, transpose_b, products[i]);
    packed += packed_size(checked_products[i].depth(), checked_products[i].columns());
  }
  if (packed <= kPackedPairs) {
    multiply({checked_products.data(), products.size()});
    return;
  }
  for (const RowProduct& product : products) {
    multiply_bf16(Transpose::kNo, transpose_b, product);
  }
}

TensorView rounded_copy(Operand operand, const TensorView& x) {
  thread_local std::array<AlignedBuffer, 2> scratch;
  AlignedBuffer& buffer = scratch[static_cast<std::size_t>(operand)];
  const TensorView copy(pairs_in(buffer, x.num_elements()), DType::kF32, Shape{x.rows(), x.cols()});
  cpu::round_to_bf16(Stream(), x, copy);
  return copy;
}

}  // namespace finescale::cpu
