// SPDX-License-Identifier: Apache-2.0
// L = A / D^alpha. Internal: ln A, alpha. A straight line in log space.
#include "coordinator/scaling/log_terms.h"
#include "coordinator/scaling/registry.h"

namespace finescale {
namespace {

class PowerLaw final : public Law {
 public:
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::vector<std::string> parameter_names() const override { return {"A", "alpha"}; }

  void evaluate(std::span<const double> theta, const LawTable& table, double* value,
                double* jacobian) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    const ConstRows x(table.ln_D.data(), n);
    Rows(value, n) = theta[0] - theta[1] * x;
    if (jacobian != nullptr) {
      Rows(jacobian, n).setOnes();
      Rows(jacobian + n, n) = -x;
    }
  }

  [[nodiscard]] LawBounds bounds(const LawTable& /*table*/) const override {
    LawBounds bounds;
    bound_free_log(bounds, 0);
    bound_exponent(bounds, 1);
    bounds.low[1] = 0;  // a flat curve is a power law of exponent 0
    return bounds;
  }

  [[nodiscard]] int num_terms() const override { return 1; }
  [[nodiscard]] std::vector<Theta> candidates(const LawTable& /*table*/) const override {
    std::vector<Theta> list;
    for (const double alpha : exponent_grid()) {
      list.push_back({alpha});
    }
    return list;
  }
  void terms(const Theta& q, const LawTable& table, double* columns) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    Rows(columns, n) = (-q[0] * ConstRows(table.ln_D.data(), n)).exp();
  }
  [[nodiscard]] Theta assemble(const Theta& q, const double* c) const override {
    return {log_or_zero(c[0]), q[0]};
  }
  [[nodiscard]] std::vector<double> parameters(std::span<const double> theta) const override {
    return {exp_or_zero(theta[0]), theta[1]};
  }

 private:
  std::string name_ = "power";
};

}  // namespace

std::unique_ptr<Law> make_power_law() {
  return std::make_unique<PowerLaw>();
}

}  // namespace finescale
