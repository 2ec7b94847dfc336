// SPDX-License-Identifier: Apache-2.0
// L = E + A / (N^alpha D^beta) (arXiv 2402.17193). Internal: ln E, ln A, alpha, beta.
#include "coordinator/scaling/log_terms.h"
#include "coordinator/scaling/registry.h"

namespace finescale {
namespace {

class MultiplicativeLaw final : public Law {
 public:
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::vector<std::string> parameter_names() const override {
    return {"E", "A", "alpha", "beta"};
  }
  [[nodiscard]] bool needs_size() const override { return true; }

  void evaluate(std::span<const double> theta, const LawTable& table, double* value,
                double* jacobian) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    for_each_block(table.size(), [&](Eigen::Index first, Eigen::Index count) {
      const ConstRows x(table.ln_D.data() + first, count);
      const ConstRows size(table.ln_N.data() + first, count);
      const Block falling = theta[1] - theta[2] * size - theta[3] * x;
      Block sum, share;
      log_add(falling, Block::Constant(count, theta[0]), sum, share);
      Rows(value + first, count) = sum;
      if (jacobian != nullptr) {
        Rows(jacobian + first, count) = 1.0 - share;
        Rows(jacobian + n + first, count) = share;
        Rows(jacobian + 2 * n + first, count) = -share * size;
        Rows(jacobian + 3 * n + first, count) = -share * x;
      }
    });
  }

  [[nodiscard]] LawBounds bounds(const LawTable& table) const override {
    LawBounds bounds;
    bound_floor(bounds, 0, table);
    bound_free_log(bounds, 1);
    bound_exponent(bounds, 2);
    bounds.low[2] = -kMaxExponent;  // a larger adapter can do worse on little data
    bound_exponent(bounds, 3);
    return bounds;
  }

  [[nodiscard]] int num_terms() const override { return 2; }
  [[nodiscard]] std::vector<Theta> candidates(const LawTable& /*table*/) const override {
    std::vector<Theta> list;
    for (const double alpha : exponent_grid()) {
      for (const double beta : exponent_grid()) {
        list.push_back({alpha, beta});
      }
    }
    for (const double beta : exponent_grid()) {
      list.push_back({0, beta});
      list.push_back({-0.1, beta});
    }
    return list;
  }
  void terms(const Theta& q, const LawTable& table, double* columns) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    Rows(columns, n).setOnes();
    Rows(columns + n, n) =
        (-q[0] * ConstRows(table.ln_N.data(), n) - q[1] * ConstRows(table.ln_D.data(), n)).exp();
  }
  [[nodiscard]] Theta assemble(const Theta& q, const double* c) const override {
    return {log_or_zero(c[0]), log_or_zero(c[1]), q[0], q[1]};
  }
  [[nodiscard]] std::vector<double> parameters(std::span<const double> theta) const override {
    return {exp_or_zero(theta[0]), exp_or_zero(theta[1]), theta[2], theta[3]};
  }

 private:
  std::string name_ = "multiplicative";
};

}  // namespace

std::unique_ptr<Law> make_multiplicative_law() {
  return std::make_unique<MultiplicativeLaw>();
}

}  // namespace finescale
