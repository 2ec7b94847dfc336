// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/law.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace finescale {

double LawTable::min_y() const {
  return *std::min_element(y.begin(), y.end());
}
double LawTable::max_y() const {
  return *std::max_element(y.begin(), y.end());
}

LawTable make_law_table(std::span<const LawPoint> points) {
  LawTable table;
  for (const LawPoint& p : points) {
    table.D.push_back(p.D);
    table.N.push_back(p.N);
    table.U.push_back(p.U > 0 ? p.U : p.D);
    table.ln_D.push_back(std::log(p.D));
    table.ln_N.push_back(p.N > 0 ? std::log(p.N) : 0.0);
    table.y.push_back(std::log(p.loss));
    table.weight.push_back(p.weight);
  }
  return table;
}

int Law::num_parameters() const {
  return static_cast<int>(parameter_names().size());
}

double Law::log_loss(std::span<const double> theta, const LawPoint& x) const {
  LawPoint point = x;
  point.loss = 1;
  double value = 0;
  evaluate(theta, make_law_table({&point, 1}), &value, nullptr);
  return value;
}

double Law::log_loss_gradient(std::span<const double> theta, const LawPoint& x,
                              std::span<double> gradient) const {
  LawPoint point = x;
  point.loss = 1;
  double value = 0;
  FS_CHECK(static_cast<int>(gradient.size()) >= num_parameters(), "gradient is too short");
  evaluate(theta, make_law_table({&point, 1}), &value, gradient.data());
  return value;
}

}  // namespace finescale
