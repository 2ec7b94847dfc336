// SPDX-License-Identifier: Apache-2.0
#include "worker/methods/singular_values.h"

#include <algorithm>
#include <cmath>

#include <Eigen/Dense>

#include "core/error.h"
#include "core/random.h"

namespace finescale {

namespace {

using Matrix = Eigen::MatrixXd;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr std::int64_t kMoreDirections = 8;
constexpr int kPowerIterations = 4;

Matrix orthonormal(const Matrix& x) {
  const Eigen::HouseholderQR<Matrix> qr(x);
  return qr.householderQ() * Matrix::Identity(x.rows(), x.cols());
}

// An orthonormal basis [rows, directions] of what the matrix stretches most.
Matrix range_of(const Eigen::Map<const RowMajor>& w, std::int64_t directions) {
  Random random(0, Purpose::kAdapter, 1);
  Matrix test(w.cols(), directions);
  for (Eigen::Index j = 0; j < test.cols(); ++j) {
    for (Eigen::Index i = 0; i < test.rows(); ++i) {
      test(i, j) = random.normal();
    }
  }
  Matrix range = orthonormal(w * test);
  for (int i = 0; i < kPowerIterations; ++i) {
    range = orthonormal(w * orthonormal(w.transpose() * range));
  }
  return range;
}

}  // namespace

LowRankFactors principal_factors(const std::vector<double>& matrix, std::int64_t rows,
                                 std::int64_t cols, std::int64_t rank) {
  FS_CHECK(rank <= std::min(rows, cols), "more singular directions than the matrix has");
  const Eigen::Map<const RowMajor> w(matrix.data(), rows, cols);
  const std::int64_t directions = std::min(rank + kMoreDirections, std::min(rows, cols));
  const bool whole = 2 * directions >= std::min(rows, cols);
  const Matrix range = whole ? Matrix() : range_of(w, directions);
  const Matrix small = whole ? Matrix(w) : Matrix(range.transpose() * w);
  const Eigen::BDCSVD<Matrix> svd(small, Eigen::ComputeThinU | Eigen::ComputeThinV);
  Matrix u = whole ? Matrix(svd.matrixU()) : Matrix(range * svd.matrixU());
  Matrix v = svd.matrixV();
  LowRankFactors factors;
  factors.left.resize(static_cast<std::size_t>(rows * rank));
  factors.right.resize(static_cast<std::size_t>(rank * cols));
  for (std::int64_t k = 0; k < rank; ++k) {
    Eigen::Index largest = 0;
    u.col(k).cwiseAbs().maxCoeff(&largest);
    const double root = std::copysign(std::sqrt(svd.singularValues()(k)), u(largest, k));
    for (std::int64_t i = 0; i < rows; ++i) {
      factors.left[static_cast<std::size_t>(i * rank + k)] = root * u(i, k);
    }
    for (std::int64_t j = 0; j < cols; ++j) {
      factors.right[static_cast<std::size_t>(k * cols + j)] = root * v(j, k);
    }
  }
  return factors;
}

std::vector<double> low_rank_approximation(const std::vector<double>& matrix, std::int64_t rows,
                                           std::int64_t cols, std::int64_t rank) {
  const LowRankFactors factors = principal_factors(matrix, rows, cols, rank);
  std::vector<double> product(matrix.size());
  Eigen::Map<RowMajor>(product.data(), rows, cols).noalias() =
      Eigen::Map<const RowMajor>(factors.left.data(), rows, rank) *
      Eigen::Map<const RowMajor>(factors.right.data(), rank, cols);
  return product;
}

}  // namespace finescale
