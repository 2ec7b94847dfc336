// SPDX-License-Identifier: Apache-2.0
// Scratch that gradients of weights and biases of norms and projections need: sums over parts of
// the rows, [parts, C] in the type of the gradient.
#pragma once

#include <cstdint>

namespace finescale::cuda {

constexpr std::int64_t kSumRows = 1024;     // of a part
constexpr std::int64_t kFusedRows = 8;      // of a part where the gradient of the input is made too
constexpr std::int64_t kFusedWidth = 8192;  // the widest rows for which both are made at once

[[nodiscard]] constexpr std::int64_t column_partials(std::int64_t rows) noexcept {
  return rows <= kSumRows ? 0 : (rows + kSumRows - 1) / kSumRows;
}
[[nodiscard]] constexpr std::int64_t norm_partials(std::int64_t rows) noexcept {
  return (rows + kFusedRows - 1) / kFusedRows;
}

}  // namespace finescale::cuda
