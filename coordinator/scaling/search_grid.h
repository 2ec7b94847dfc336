// SPDX-License-Identifier: Apache-2.0
// The global part of a fit: for each candidate of the nonlinear parameters the nonnegative linear
// coefficients are solved exactly, with weights that make relative errors of L count as ln L does.
// Basis columns depend on the rows alone (not on the losses) and are kept between fits.
#pragma once

#include <span>
#include <vector>

#include "coordinator/scaling/law.h"

namespace finescale {

class SearchGrid {
 public:
  // Rebuilds the columns unless the rows equal those of the last call.
  void prepare(const Law& law, const LawTable& table);
  // Starts for the polish, best first. weight: one factor per row on top of the table's.
  void best_starts(const Law& law, const LawTable& table, std::span<const double> weight, int count,
                   std::vector<Theta>& starts);

 private:
  struct Scored {
    double score;
    std::size_t candidate;
    std::array<double, kMaxLawTerms> coefficients;
  };
  [[nodiscard]] bool same_rows(const Law& law, const LawTable& table) const;

  const Law* law_ = nullptr;
  std::vector<double> D_, N_, U_;
  std::vector<Theta> candidates_;
  std::vector<double> columns_;  // candidate x term x row
  std::vector<double> row_weight_, loss_;
  std::vector<Scored> scored_;
};

// Minimises c^T G c - 2 h^T c over c >= 0 for up to kMaxLawTerms unknowns; returns the minimum.
double solve_nonnegative(int terms, const double* gram, const double* moment, double* coefficients);

}  // namespace finescale
