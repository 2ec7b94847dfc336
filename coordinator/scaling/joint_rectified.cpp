// SPDX-License-Identifier: Apache-2.0
// L = E + B / (N^alpha (D_l + D^beta)): the rectified law with a model size.
// Internal: ln E, ln B, ln D_l, alpha, beta.
#include <algorithm>

#include "coordinator/scaling/log_terms.h"
#include "coordinator/scaling/registry.h"

namespace finescale {
namespace {

constexpr int kJointKnees = 5;

class JointRectifiedLaw final : public Law {
 public:
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::vector<std::string> parameter_names() const override {
    return {"E", "B", "D_l", "alpha", "beta"};
  }
  [[nodiscard]] bool needs_size() const override { return true; }

  void evaluate(std::span<const double> theta, const LawTable& table, double* value,
                double* jacobian) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    for_each_block(table.size(), [&](Eigen::Index first, Eigen::Index count) {
      const ConstRows x(table.ln_D.data() + first, count);
      const ConstRows size(table.ln_N.data() + first, count);
      const Block power = theta[4] * x;
      Block below, power_share, sum, share;
      log_add(power, Block::Constant(count, theta[2]), below, power_share);
      const Block falling = theta[1] - theta[3] * size - below;
      log_add(falling, Block::Constant(count, theta[0]), sum, share);
      Rows(value + first, count) = sum;
      if (jacobian != nullptr) {
        Rows(jacobian + first, count) = 1.0 - share;
        Rows(jacobian + n + first, count) = share;
        Rows(jacobian + 2 * n + first, count) = -share * (1.0 - power_share);
        Rows(jacobian + 3 * n + first, count) = -share * size;
        Rows(jacobian + 4 * n + first, count) = -share * power_share * x;
      }
    });
  }

  [[nodiscard]] LawBounds bounds(const LawTable& table) const override {
    LawBounds bounds;
    bound_floor(bounds, 0, table);
    bound_free_log(bounds, 1);
    const auto [low, high] = std::minmax_element(table.ln_D.begin(), table.ln_D.end());
    bounds.low[2] = std::min(0.0, *low) - kNegligibleLog;
    bounds.high[2] = kMaxExponent * std::max(1.0, *high) + kNegligibleLog;
    bounds.zero_below[2] = true;
    bound_exponent(bounds, 3);
    bounds.low[3] = -kMaxExponent;
    bound_exponent(bounds, 4);
    return bounds;
  }

  [[nodiscard]] int num_terms() const override { return 2; }
  [[nodiscard]] std::vector<Theta> candidates(const LawTable& table) const override {
    const auto [low, high] = std::minmax_element(table.ln_D.begin(), table.ln_D.end());
    std::vector<Theta> list;
    for (const double alpha : {0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0}) {
      for (const double beta : {0.07, 0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 1.5}) {
        list.push_back({kLogZero, alpha, beta});
        for (int k = 0; k < kJointKnees; ++k) {
          const double knee = *low - 1 + (*high - *low + 1) * k / (kJointKnees - 1);
          list.push_back({beta * knee, alpha, beta});
        }
      }
    }
    return list;
  }
  void terms(const Theta& q, const LawTable& table, double* columns) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    Rows(columns, n).setOnes();
    const ConstRows x(table.ln_D.data(), n);
    const ConstRows size(table.ln_N.data(), n);
    Rows(columns + n, n) = (-q[1] * size).exp() / (exp_or_zero(q[0]) + (q[2] * x).exp());
  }
  [[nodiscard]] Theta assemble(const Theta& q, const double* c) const override {
    return {log_or_zero(c[0]), log_or_zero(c[1]), q[0], q[1], q[2]};
  }
  [[nodiscard]] std::vector<double> parameters(std::span<const double> theta) const override {
    return {exp_or_zero(theta[0]), exp_or_zero(theta[1]), exp_or_zero(theta[2]), theta[3],
            theta[4]};
  }

 private:
  std::string name_ = "joint_rectified";
};

}  // namespace

std::unique_ptr<Law> make_joint_rectified_law() {
  return std::make_unique<JointRectifiedLaw>();
}

}  // namespace finescale
