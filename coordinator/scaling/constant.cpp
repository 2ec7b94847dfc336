// SPDX-License-Identifier: Apache-2.0
// Null model: L = E, data does not help. Internal: ln E.
#include "coordinator/scaling/log_terms.h"
#include "coordinator/scaling/registry.h"

namespace finescale {
namespace {

class ConstantLaw final : public Law {
 public:
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::vector<std::string> parameter_names() const override { return {"E"}; }

  void evaluate(std::span<const double> theta, const LawTable& table, double* value,
                double* jacobian) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    Rows(value, n).setConstant(theta[0]);
    if (jacobian != nullptr) {
      Rows(jacobian, n).setOnes();
    }
  }
  [[nodiscard]] LawBounds bounds(const LawTable& /*table*/) const override {
    LawBounds bounds;
    bound_free_log(bounds, 0);
    return bounds;
  }
  [[nodiscard]] int num_terms() const override { return 1; }
  [[nodiscard]] std::vector<Theta> candidates(const LawTable& /*table*/) const override {
    return {Theta{}};
  }
  void terms(const Theta& /*q*/, const LawTable& table, double* columns) const override {
    Rows(columns, static_cast<Eigen::Index>(table.size())).setOnes();
  }
  [[nodiscard]] Theta assemble(const Theta& /*q*/, const double* c) const override {
    return {log_or_zero(c[0])};
  }
  [[nodiscard]] std::vector<double> parameters(std::span<const double> theta) const override {
    return {exp_or_zero(theta[0])};
  }

 private:
  std::string name_ = "constant";
};

}  // namespace

std::unique_ptr<Law> make_constant_law() {
  return std::make_unique<ConstantLaw>();
}

}  // namespace finescale
