// SPDX-License-Identifier: Apache-2.0
// The convex inner problem of a robust fit: the step d that minimises
//   sum_i w_i rho_delta(r_i - (J d)_i) + lambda/2 sum_k s_k d_k^2
// exactly (piecewise quadratic: Newton with an exact line search). No law is evaluated here.
#pragma once

#include <Eigen/Core>
#include <span>

#include "coordinator/scaling/law.h"

namespace finescale {

using StepMatrix =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, kMaxLawParameters, kMaxLawParameters>;
using StepVector = Eigen::Matrix<double, Eigen::Dynamic, 1, 0, kMaxLawParameters, 1>;

[[nodiscard]] inline double huber(double r, double delta) {
  const double a = r < 0 ? -r : r;
  return a <= delta ? 0.5 * r * r : delta * (a - 0.5 * delta);
}

// x = matrix^-1 x for a positive definite matrix, which is overwritten; false when it is not.
bool solve_definite(StepMatrix& matrix, StepVector& x);

// residual, weight: n; jacobian: column-major with `free.size()` columns picked by `free`.
// scratch: 3 n. Returns the decrease of the model; `step` has one entry per free parameter.
double huber_step(std::span<const double> residual, std::span<const double> weight,
                  const double* jacobian, std::span<const int> free, double delta, double lambda,
                  const StepVector& scale, std::span<double> scratch, StepVector& step);

}  // namespace finescale
