// SPDX-License-Identifier: Apache-2.0
// L = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022). Internal: ln E, ln A, ln B, alpha, beta.
#include "coordinator/scaling/log_terms.h"
#include "coordinator/scaling/registry.h"

namespace finescale {
namespace {

class AdditiveLaw final : public Law {
 public:
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::vector<std::string> parameter_names() const override {
    return {"E", "A", "B", "alpha", "beta"};
  }
  [[nodiscard]] bool needs_size() const override { return true; }

  void evaluate(std::span<const double> theta, const LawTable& table, double* value,
                double* jacobian) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    for_each_block(table.size(), [&](Eigen::Index first, Eigen::Index count) {
      const ConstRows x(table.ln_D.data() + first, count);
      const ConstRows size(table.ln_N.data() + first, count);
      const Block p = theta[1] - theta[3] * size;
      const Block q = theta[2] - theta[4] * x;
      const Block top = p.max(q).max(theta[0]);
      const Block by_size = (p - top).exp();
      const Block by_data = (q - top).exp();
      const Block floor = (theta[0] - top).exp();
      const Block sum = by_size + by_data + floor;
      Rows(value + first, count) = top + sum.log();
      if (jacobian != nullptr) {
        const Block scale = 1.0 / sum;
        Rows(jacobian + first, count) = floor * scale;
        Rows(jacobian + n + first, count) = by_size * scale;
        Rows(jacobian + 2 * n + first, count) = by_data * scale;
        Rows(jacobian + 3 * n + first, count) = -by_size * scale * size;
        Rows(jacobian + 4 * n + first, count) = -by_data * scale * x;
      }
    });
  }

  [[nodiscard]] LawBounds bounds(const LawTable& table) const override {
    LawBounds bounds;
    bound_floor(bounds, 0, table);
    bound_free_log(bounds, 1);
    bound_free_log(bounds, 2);
    bound_exponent(bounds, 3);
    bound_exponent(bounds, 4);
    return bounds;
  }

  [[nodiscard]] int num_terms() const override { return 3; }
  [[nodiscard]] std::vector<Theta> candidates(const LawTable& /*table*/) const override {
    std::vector<Theta> list;
    for (const double alpha : exponent_grid()) {
      for (const double beta : exponent_grid()) {
        list.push_back({alpha, beta});
      }
    }
    return list;
  }
  void terms(const Theta& q, const LawTable& table, double* columns) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    Rows(columns, n).setOnes();
    Rows(columns + n, n) = (-q[0] * ConstRows(table.ln_N.data(), n)).exp();
    Rows(columns + 2 * n, n) = (-q[1] * ConstRows(table.ln_D.data(), n)).exp();
  }
  [[nodiscard]] Theta assemble(const Theta& q, const double* c) const override {
    return {log_or_zero(c[0]), log_or_zero(c[1]), log_or_zero(c[2]), q[0], q[1]};
  }
  [[nodiscard]] std::vector<double> parameters(std::span<const double> theta) const override {
    return {exp_or_zero(theta[0]), exp_or_zero(theta[1]), exp_or_zero(theta[2]), theta[3],
            theta[4]};
  }

 private:
  std::string name_ = "additive";
};

}  // namespace

std::unique_ptr<Law> make_additive_law() {
  return std::make_unique<AdditiveLaw>();
}

}  // namespace finescale
