// SPDX-License-Identifier: Apache-2.0
#include "worker/model/linear.h"

#include <algorithm>

#include "kernels/factors.h"
#include "kernels/reduce.h"
#include "kernels/row_gemm.h"
#include "kernels/scaled_matrix.h"

namespace finescale {

namespace {

// product(alpha, x, w, beta, y): y = alpha x w^T + beta y.
template <class Product>
void add_branch(const Product& product, const TensorView& x, const LowRank& branch,
                const TensorView& projected, const TensorView& y) {
  product(1, x, branch.a.value, 0, projected);
  std::int64_t begin = 0;
  for (const LowRankPart& part : branch.parts) {
    product(branch.scale, projected.columns(begin, begin + branch.rank), part.b.value, 1,
            y.columns(part.row_begin, part.row_end));
    begin += branch.shares_a ? 0 : branch.rank;
  }
}

template <class Product>
void add_branches(const Product& product, const TensorView& x, const LowRank* adapter,
                  const TensorView& projected, const TensorView& y) {
  if (adapter == nullptr || adapter->parts.empty()) {
    return;
  }
  if (adapter->frozen != nullptr) {  // first: `projected` is kept for the one that trains
    add_branch(product, x, *adapter->frozen, projected, y);
  }
  add_branch(product, x, *adapter, projected, y);
}

}  // namespace

std::int64_t LowRank::made_elements() const noexcept {
  std::int64_t count = 0;
  for (const LowRankPart& part : parts) {
    count += part.scaled.matrix.num_elements();
  }
  return count;
}

std::int64_t LowRank::largest_part() const noexcept {
  std::int64_t largest = 0;
  for (const LowRankPart& part : parts) {
    largest = std::max(largest, part.scaled.matrix.num_elements());
  }
  return largest;
}

LowRank with_made_parts(const Stream& stream, const LowRank& adapter, const TensorView& scratch) {
  LowRank made = adapter;
  std::int64_t begin = 0;
  for (LowRankPart& part : made.parts) {
    const ScaledMatrix& scaled = part.scaled;
    part.b.value = TensorView(
        scratch.as<std::byte>() + static_cast<std::size_t>(begin) * dtype_size(scratch.dtype),
        scratch.dtype, scaled.matrix.shape);
    scale_matrix(stream, scaled.rows.value, scaled.matrix, scaled.columns.value, part.b.value);
    begin += scaled.matrix.num_elements();
  }
  return made;
}

void linear_forward(const Stream& stream, const TensorView& x, const Weight& weight,
                    const LowRank* adapter, const TensorView& projected, const TensorView& y) {
  const SharedOperand shared(stream, x);
  RowProducts products;
  for (const QuantisedRows& rows : weight.quantised) {
    quantised_gemm(stream, Transpose::kYes, x, *rows.matrix, 0,
                   y.columns(rows.begin, rows.begin + rows.matrix->rows));
  }
  if (weight.quantised.empty()) {
    products.add(1, x, weight.factor(), 0, y);
  }
  add_branches([&](double alpha, const TensorView& a, const TensorView& b, double beta,
                   const TensorView& c) { products.add(alpha, a, b, beta, c); },
               x, adapter, projected, y);
  products.run(stream, Transpose::kYes);
}

void linear_forward_by_rows(const Stream& stream, const TensorView& x, const Weight& weight,
                            const LowRank* adapter, const TensorView& projected,
                            const TensorView& y) {
  for (const QuantisedRows& rows : weight.quantised) {
    quantised_row_gemm(stream, x, *rows.matrix,
                       y.columns(rows.begin, rows.begin + rows.matrix->rows));
  }
  const auto product = [&](double alpha, const TensorView& a, const TensorView& b, double beta,
                           const TensorView& c) { row_gemm(stream, alpha, a, b, beta, c); };
  if (weight.quantised.empty()) {
    product(1, x, weight.factor(), 0, y);
  }
  add_branches(product, x, adapter, projected, y);
}

void quantised_input_gradient(const Stream& stream, const TensorView& dy, const Weight& weight,
                              double beta, const TensorView& dx) {
  for (const QuantisedRows& rows : weight.quantised) {
    quantised_gemm(stream, Transpose::kNo, dy.columns(rows.begin, rows.begin + rows.matrix->rows),
                   *rows.matrix, beta, dx);
    beta = 1;
  }
}

void multiply_columns(const Stream& stream, const std::vector<ColumnFactors>& factors,
                      const TensorView& x, const TensorView& y) {
  std::int64_t done = 0;
  const auto keep_until = [&](std::int64_t end) {
    if (x.data != y.data && end > done) {
      copy(stream, x.columns(done, end), y.columns(done, end));
    }
  };
  for (const ColumnFactors& part : factors) {
    keep_until(part.begin);
    scale_columns(stream, x.columns(part.begin, part.end), part.factor.value, part.constant,
                  y.columns(part.begin, part.end));
    done = part.end;
  }
  keep_until(y.cols());
}

}  // namespace finescale
