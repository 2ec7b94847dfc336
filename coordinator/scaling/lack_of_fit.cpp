// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/lack_of_fit.h"

#include <algorithm>
#include <cmath>

namespace finescale {
namespace {

// Continued fraction of the incomplete beta function (modified Lentz; Abramowitz and Stegun
// 26.5.8).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto away_from_zero = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double h = d;
  for (int i = 1; i <= 300; ++i) {
    const double m = i;
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    h *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    h *= d * c;
    if (std::abs(d * c - 1) < 1e-14) {
      break;
    }
  }
  return h;
}

// Regularised incomplete beta function I_x(a, b).
double incomplete_beta(double a, double b, double x) {
  if (x <= 0) {
    return 0;
  }
  if (x >= 1) {
    return 1;
  }
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                   : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

}  // namespace

double f_upper_tail(double f, double df_above, double df_below) {
  if (!(f > 0)) {
    return 1;
  }
  return incomplete_beta(0.5 * df_below, 0.5 * df_above, df_below / (df_below + df_above * f));
}

LackOfFit test_lack_of_fit(const LawTable& cells, std::span<const double> value,
                           std::span<const double> count, int parameters, double variance,
                           double df) {
  LackOfFit test;
  double sum = 0;
  double total = 0;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const double miss = cells.y[c] - value[c];
    sum += count[c] * miss * miss;
    total += count[c];
  }
  test.rms = std::sqrt(sum / std::max(total, 1.0));
  test.df = static_cast<double>(cells.size()) - parameters;
  if (test.df <= 0 || df <= 0) {
    return test;
  }
  test.mean_square = sum / test.df;
  test.p_value = f_upper_tail(test.mean_square / std::max(variance, 1e-300), test.df, df);
  return test;
}

}  // namespace finescale
