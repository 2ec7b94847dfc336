// SPDX-License-Identifier: Apache-2.0
// Does a form miss the cell means by more than runs of one cell differ? The F test of pure error:
//   F = [sum_c n_c (mean_c - f_c)^2 / (cells - parameters)] / within-cell variance.
#pragma once

#include <span>

#include "coordinator/scaling/law.h"

namespace finescale {

// P(F > f) of Fisher's F distribution, any positive degrees of freedom.
[[nodiscard]] double f_upper_tail(double f, double df_above, double df_below);

struct LackOfFit {
  double p_value = 1;      // of the F test; 1 when there is nothing to test with
  double mean_square = 0;  // the misfit as a variance of one run
  double rms = 0;          // misfit of the cell means in ln L
  double df = 0;           // cells - parameters
};

// value: ln L of the form at each cell; count: runs of each cell; variance: of one run about its
// cell, known with `df` degrees of freedom; 0 of them: nothing to test with.
[[nodiscard]] LackOfFit test_lack_of_fit(const LawTable& cells, std::span<const double> value,
                                         std::span<const double> count, int parameters,
                                         double variance, double df);

// A form is refused when chance explains the misfit in less than this share of sweeps...
inline constexpr double kRefusedBelow = 0.01;
// ...and the misfit matters: seeds that agree to 1e-4 refute every form, and yet one that is right
// to 1% answers the question.
inline constexpr double kNegligibleMisfit = 0.01;

[[nodiscard]] inline bool refused(const LackOfFit& test) {
  return test.p_value < kRefusedBelow && test.rms > kNegligibleMisfit;
}

}  // namespace finescale
