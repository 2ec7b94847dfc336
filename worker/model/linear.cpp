// SPDX-License-Identifier: Apache-2.0
#include "worker/model/linear.h"

#include "kernels/gemm.h"

namespace finescale {

void linear_forward(const Stream& stream, const TensorView& x, const TensorView& weight,
                    const LowRank* adapter, const TensorView& projected, const TensorView& y) {
  gemm(stream, Transpose::kNo, Transpose::kYes, 1, x, weight, 0, y);
  if (adapter == nullptr) {
    return;
  }
  gemm(stream, Transpose::kNo, Transpose::kYes, 1, x, adapter->a.value, 0, projected);
  std::int64_t begin = 0;
  for (const LowRankPart& part : adapter->parts) {
    gemm(stream, Transpose::kNo, Transpose::kYes, adapter->scale,
         projected.columns(begin, begin + adapter->rank), part.b.value, 1,
         y.columns(part.row_begin, part.row_end));
    begin += adapter->rank;
  }
}

}  // namespace finescale
