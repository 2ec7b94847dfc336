// SPDX-License-Identifier: Apache-2.0
// The largest singular directions of a matrix.
#pragma once

#include <cstdint>
#include <vector>

namespace finescale {

// left [rows, rank] = U sqrt(S), right [rank, cols] = sqrt(S) V^T, row-major: left right is the
// best approximation of that rank. The largest element of each column of U is positive, so nothing
// depends on the algorithm's choice of signs.
struct LowRankFactors {
  std::vector<double> left;
  std::vector<double> right;
};
// matrix [rows, cols], row-major; rank <= both. Randomised subspace iteration (Halko et al. 2011,
// algorithm 5.1 with 4 power iterations and 8 directions more than asked for), a full decomposition
// where that is as cheap. The same input gives the same bits.
[[nodiscard]] LowRankFactors principal_factors(const std::vector<double>& matrix, std::int64_t rows,
                                               std::int64_t cols, std::int64_t rank);

// left right, row-major.
[[nodiscard]] std::vector<double> low_rank_approximation(const std::vector<double>& matrix,
                                                         std::int64_t rows, std::int64_t cols,
                                                         std::int64_t rank);

}  // namespace finescale
