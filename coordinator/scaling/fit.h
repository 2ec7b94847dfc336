// SPDX-License-Identifier: Apache-2.0
// Fits one law to one table: a grid over the nonlinear parameters with the linear ones solved
// exactly (variable projection, NNLS), then a polish of all parameters. Objective on log loss,
// summed over rows: least squares sum w r^2, or Huber sum w rho(r) with rho quadratic (r^2/2)
// within delta. A Fitter owns the workspace of one thread; after the first fit of a table size it
// allocates nothing.
#pragma once

#include <vector>

#include "coordinator/scaling/huber_step.h"
#include "coordinator/scaling/law.h"
#include "coordinator/scaling/search_grid.h"

namespace finescale {

struct FitOptions {
  bool least_squares = false;
  double delta = 1e-3;       // Huber, on ln L
  int starts = 5;            // candidates of the grid that are polished
  double tolerance = 1e-14;  // relative decrease of the objective that ends the polish
  int max_iterations = 300;
};

struct LawFitResult {
  Theta theta{};
  double objective = 0;
  double rmsd = 0;  // weighted, of ln L
  int evaluations = 0;
  // Parameters that ended on a bound of their box, or at exactly 0.
  std::array<bool, kMaxLawParameters> at_bound{};
};

class Fitter {
 public:
  Fitter(const Law& law, const FitOptions& options);

  // Global: grid, then the best starts polished. The grid is kept while the rows (D, N, U) stay the
  // same, so refits of new losses are cheap.
  [[nodiscard]] LawFitResult fit(const LawTable& table);
  // Local: polish from a start (a bootstrap replicate from the fit of the data).
  [[nodiscard]] LawFitResult refine(const LawTable& table, const Theta& start);
  // Sum of the options' loss at theta.
  [[nodiscard]] double objective(const LawTable& table, const Theta& theta);

  [[nodiscard]] const Law& law() const { return *law_; }
  [[nodiscard]] const FitOptions& options() const { return options_; }

 private:
  void reserve(std::size_t rows);
  double residuals(const LawTable& table, const Theta& theta, bool with_jacobian);
  void linearise(const LawTable& table, const LawBounds& bounds, const Theta& theta);
  double propose(const LawTable& table, const LawBounds& bounds, double lambda, const Theta& theta,
                 Theta& trial, double& largest);
  double polish(const LawTable& table, const LawBounds& bounds, Theta& theta);
  double polish_with_zeros(const LawTable& table, const LawBounds& bounds, Theta& theta);
  LawFitResult finish(const LawTable& table, const LawBounds& bounds, const Theta& theta,
                      double objective);

  const Law* law_;
  FitOptions options_;
  int num_parameters_;
  int evaluations_ = 0;
  SearchGrid grid_;
  std::vector<Theta> starts_;
  std::vector<double> residual_, trial_residual_, jacobian_, trial_jacobian_, scratch_, weight_;
  // The linear model at the accepted point: columns that may move, J^T W J and its gradient.
  std::array<int, kMaxLawParameters> free_{};
  int num_free_ = 0;
  StepMatrix hessian_;
  StepVector gradient_;
};

}  // namespace finescale
