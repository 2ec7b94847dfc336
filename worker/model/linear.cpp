// SPDX-License-Identifier: Apache-2.0
#include "worker/model/linear.h"

#include "kernels/row_gemm.h"

namespace finescale {

namespace {

// product(alpha, x, w, beta, y): y = alpha x w^T + beta y.
template <class Product>
void forward(const Product& product, const TensorView& x, const TensorView& weight,
             const LowRank* adapter, const TensorView& projected, const TensorView& y) {
  product(1, x, weight, 0, y);
  if (adapter == nullptr) {
    return;
  }
  product(1, x, adapter->a.value, 0, projected);
  std::int64_t begin = 0;
  for (const LowRankPart& part : adapter->parts) {
    product(adapter->scale, projected.columns(begin, begin + adapter->rank), part.b.value, 1,
            y.columns(part.row_begin, part.row_end));
    begin += adapter->rank;
  }
}

}  // namespace

void linear_forward(const Stream& stream, const TensorView& x, const TensorView& weight,
                    const LowRank* adapter, const TensorView& projected, const TensorView& y) {
  RowProducts products;
  forward([&](double alpha, const TensorView& a, const TensorView& b, double beta,
              const TensorView& c) { products.add(alpha, a, b, beta, c); },
          x, weight, adapter, projected, y);
  products.run(stream, Transpose::kYes);
}

void linear_forward_by_rows(const Stream& stream, const TensorView& x, const TensorView& weight,
                            const LowRank* adapter, const TensorView& projected,
                            const TensorView& y) {
  forward([&](double alpha, const TensorView& a, const TensorView& b, double beta,
              const TensorView& c) { row_gemm(stream, alpha, a, b, beta, c); },
          x, weight, adapter, projected, y);
}

}  // namespace finescale
