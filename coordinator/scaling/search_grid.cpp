// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/search_grid.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

namespace finescale {
namespace {

constexpr std::size_t kMaxGram = std::size_t{kMaxLawTerms} * kMaxLawTerms;
using Small = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, kMaxLawTerms, kMaxLawTerms>;
using SmallVector = Eigen::Matrix<double, Eigen::Dynamic, 1, 0, kMaxLawTerms, 1>;

}  // namespace

double solve_nonnegative(int terms, const double* gram, const double* moment,
                         double* coefficients) {
  std::fill(coefficients, coefficients + terms, 0.0);
  double best = 0;  // c = 0
  // At most 7 subsets: each is solved, and the best one whose solution is positive is the answer.
  for (int subset = 1; subset < (1 << terms); ++subset) {
    std::array<int, kMaxLawTerms> index{};
    int k = 0;
    for (int i = 0; i < terms; ++i) {
      if ((subset >> i) & 1) {
        index[static_cast<std::size_t>(k++)] = i;
      }
    }
    Small a(k, k);
    SmallVector b(k), scale(k);
    for (int i = 0; i < k; ++i) {
      const int p = index[static_cast<std::size_t>(i)];
      scale(i) = 1 / std::sqrt(std::max(gram[p * terms + p], 1e-300));
    }
    for (int i = 0; i < k; ++i) {
      const int p = index[static_cast<std::size_t>(i)];
      b(i) = moment[p] * scale(i);
      for (int j = 0; j < k; ++j) {
        a(i, j) = gram[p * terms + index[static_cast<std::size_t>(j)]] * scale(i) * scale(j);
      }
      a(i, i) += 1e-15;
    }
    const SmallVector c = a.llt().solve(b);
    if (!(c.minCoeff() >= 0)) {
      continue;
    }
    const double value = c.dot(a * c) - 2 * b.dot(c);
    if (value < best) {
      best = value;
      std::fill(coefficients, coefficients + terms, 0.0);
      for (int i = 0; i < k; ++i) {
        coefficients[index[static_cast<std::size_t>(i)]] = c(i) * scale(i);
      }
    }
  }
  return best;
}

bool SearchGrid::same_rows(const Law& law, const LawTable& table) const {
  return law_ == &law && D_ == table.D && (!law.needs_size() || N_ == table.N) &&
         (!law.needs_unique() || U_ == table.U);
}

void SearchGrid::prepare(const Law& law, const LawTable& table) {
  if (same_rows(law, table)) {
    return;
  }
  law_ = &law;
  D_ = table.D;
  N_ = table.N;
  U_ = table.U;
  candidates_ = law.candidates(table);
  const std::size_t stride = table.size() * static_cast<std::size_t>(law.num_terms());
  columns_.resize(candidates_.size() * stride);
  for (std::size_t c = 0; c < candidates_.size(); ++c) {
    law.terms(candidates_[c], table, columns_.data() + c * stride);
  }
  row_weight_.resize(table.size());
  loss_.resize(table.size());
  scored_.reserve(candidates_.size());
}

void SearchGrid::best_starts(const Law& law, const LawTable& table, std::span<const double> weight,
                             int count, std::vector<Theta>& starts) {
  const auto n = static_cast<Eigen::Index>(table.size());
  const Eigen::Index terms = law.num_terms();
  for (std::size_t i = 0; i < table.size(); ++i) {
    loss_[i] = std::exp(table.y[i]);
    row_weight_[i] = table.weight[i] * weight[i] / (loss_[i] * loss_[i]);
  }
  const Eigen::Map<const Eigen::VectorXd> loss(loss_.data(), n);
  const Eigen::Map<const Eigen::ArrayXd> omega(row_weight_.data(), n);
  scored_.clear();
  const std::size_t stride = table.size() * static_cast<std::size_t>(terms);
  for (std::size_t c = 0; c < candidates_.size(); ++c) {
    const Eigen::Map<const Eigen::MatrixXd> phi(columns_.data() + c * stride, n, terms);
    std::array<double, kMaxGram> gram{};
    std::array<double, kMaxLawTerms> moment{};
    for (Eigen::Index i = 0; i < terms; ++i) {
      for (Eigen::Index j = 0; j <= i; ++j) {
        const double g = (phi.col(i).array() * phi.col(j).array() * omega).sum();
        gram[static_cast<std::size_t>(i * terms + j)] = g;
        gram[static_cast<std::size_t>(j * terms + i)] = g;
      }
      moment[static_cast<std::size_t>(i)] = (phi.col(i).array() * loss.array() * omega).sum();
    }
    Scored entry{0, c, {}};
    entry.score = solve_nonnegative(static_cast<int>(terms), gram.data(), moment.data(),
                                    entry.coefficients.data());
    if (std::isfinite(entry.score)) {
      scored_.push_back(entry);
    }
  }
  std::sort(scored_.begin(), scored_.end(),
            [](const Scored& a, const Scored& b) { return a.score < b.score; });
  // Neighbours on the grid polish to the same point: at most one start per first parameter.
  starts.clear();
  std::array<double, 16> seen{};
  for (const Scored& entry : scored_) {
    const double key = candidates_[entry.candidate][0];
    const auto end = seen.begin() + static_cast<std::ptrdiff_t>(starts.size());
    if (std::find(seen.begin(), end, key) != end) {
      continue;
    }
    seen[starts.size()] = key;
    starts.push_back(law.assemble(candidates_[entry.candidate], entry.coefficients.data()));
    if (static_cast<int>(starts.size()) >= std::min<int>(count, 16)) {
      break;
    }
  }
}

}  // namespace finescale
