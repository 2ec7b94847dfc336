// SPDX-License-Identifier: Apache-2.0
// Student's t distribution, by the regularised incomplete beta function (DLMF 8.17).
#pragma once

namespace finescale {

// I_x(a, b), regularised; a, b > 0.
[[nodiscard]] double incomplete_beta(double a, double b, double x);
// P(T <= t) with `freedom` > 0 degrees of freedom.
[[nodiscard]] double student_t_cdf(double t, double freedom);
// t with P(T <= t) = p, 0 < p < 1.
[[nodiscard]] double student_t_quantile(double p, double freedom);

}  // namespace finescale
