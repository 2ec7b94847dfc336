// SPDX-License-Identifier: Apache-2.0
// Null model: L = A - B ln D, which falls below any floor in the end. Internal: ln A, ln B.
#include <algorithm>
#include <cmath>

#include "coordinator/scaling/log_terms.h"
#include "coordinator/scaling/registry.h"

namespace finescale {
namespace {

constexpr double kSmallestLoss = 1e-12;  // where the line would cross 0 the form has no value

class LogarithmicLaw final : public Law {
 public:
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::vector<std::string> parameter_names() const override { return {"A", "B"}; }

  void evaluate(std::span<const double> theta, const LawTable& table, double* value,
                double* jacobian) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    const double a = exp_or_zero(theta[0]);
    const double b = exp_or_zero(theta[1]);
    for_each_block(table.size(), [&](Eigen::Index first, Eigen::Index count) {
      const ConstRows x(table.ln_D.data() + first, count);
      const Block loss = (a - b * x).max(kSmallestLoss);
      Rows(value + first, count) = loss.log();
      if (jacobian != nullptr) {
        Rows(jacobian + first, count) = a / loss;
        Rows(jacobian + n + first, count) = -b * x / loss;
      }
    });
  }

  [[nodiscard]] LawBounds bounds(const LawTable& table) const override {
    LawBounds bounds;
    bound_free_log(bounds, 0);
    bounds.low[1] = table.min_y() - kNegligibleLog;
    bounds.high[1] = 300;
    bounds.zero_below[1] = true;
    return bounds;
  }

  // Written as c0 + c1 (m - ln D) with m the largest ln D, so that both coefficients are >= 0.
  [[nodiscard]] int num_terms() const override { return 2; }
  [[nodiscard]] std::vector<Theta> candidates(const LawTable& table) const override {
    return {{*std::max_element(table.ln_D.begin(), table.ln_D.end())}};
  }
  void terms(const Theta& q, const LawTable& table, double* columns) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    Rows(columns, n).setOnes();
    Rows(columns + n, n) = q[0] - ConstRows(table.ln_D.data(), n);
  }
  [[nodiscard]] Theta assemble(const Theta& q, const double* c) const override {
    return {log_or_zero(c[0] + c[1] * q[0]), log_or_zero(c[1])};
  }
  [[nodiscard]] std::vector<double> parameters(std::span<const double> theta) const override {
    return {exp_or_zero(theta[0]), exp_or_zero(theta[1])};
  }

 private:
  std::string name_ = "logarithmic";
};

}  // namespace

std::unique_ptr<Law> make_logarithmic_law() {
  return std::make_unique<LogarithmicLaw>();
}

}  // namespace finescale
