// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/lack_of_fit.h"

#include <algorithm>
#include <cmath>

#include "coordinator/scaling/student_t.h"

namespace finescale {

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
