// SPDX-License-Identifier: Apache-2.0
// L = E + B / (D_l + D^beta): a power law with a plateau before it (rectified fine-tuning law).
// Internal: ln E, ln B, ln D_l, beta. With D_l = 0 it is the power law with an offset.
#include <algorithm>

#include "coordinator/scaling/log_terms.h"
#include "coordinator/scaling/registry.h"

namespace finescale {
namespace {

constexpr int kKnees = 9;  // places of the knee D_l^(1/beta) that are tried

class RectifiedLaw final : public Law {
 public:
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::vector<std::string> parameter_names() const override {
    return {"E", "B", "D_l", "beta"};
  }

  void evaluate(std::span<const double> theta, const LawTable& table, double* value,
                double* jacobian) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    for_each_block(table.size(), [&](Eigen::Index first, Eigen::Index count) {
      const ConstRows x(table.ln_D.data() + first, count);
      const Block power = theta[3] * x;
      Block below, power_share, sum, share;
      log_add(power, Block::Constant(count, theta[2]), below, power_share);
      const Block falling = theta[1] - below;
      log_add(falling, Block::Constant(count, theta[0]), sum, share);
      Rows(value + first, count) = sum;
      if (jacobian != nullptr) {
        Rows(jacobian + first, count) = 1.0 - share;
        Rows(jacobian + n + first, count) = share;
        Rows(jacobian + 2 * n + first, count) = -share * (1.0 - power_share);
        Rows(jacobian + 3 * n + first, count) = -share * power_share * x;
      }
    });
  }

  [[nodiscard]] LawBounds bounds(const LawTable& table) const override {
    LawBounds bounds;
    bound_floor(bounds, 0, table);
    bound_free_log(bounds, 1);
    const auto [low, high] = std::minmax_element(table.ln_D.begin(), table.ln_D.end());
    // D_l is compared with D^beta: at most a knee far right of the data, where the form is a line.
    bounds.low[2] = std::min(0.0, *low) - kNegligibleLog;
    bounds.high[2] = kMaxExponent * std::max(1.0, *high) + kNegligibleLog;
    bounds.zero_below[2] = true;
    bound_exponent(bounds, 3);
    return bounds;
  }

  [[nodiscard]] int num_terms() const override { return 2; }
  [[nodiscard]] std::vector<Theta> candidates(const LawTable& table) const override {
    const auto [low, high] = std::minmax_element(table.ln_D.begin(), table.ln_D.end());
    std::vector<Theta> list;
    for (const double beta : exponent_grid()) {
      list.push_back({kLogZero, beta});
      for (int k = 0; k < kKnees; ++k) {
        const double knee = *low - 2 + (*high - *low + 3) * k / (kKnees - 1);
        list.push_back({beta * knee, beta});
      }
    }
    return list;
  }
  void terms(const Theta& q, const LawTable& table, double* columns) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    Rows(columns, n).setOnes();
    const ConstRows x(table.ln_D.data(), n);
    Rows(columns + n, n) = 1.0 / (exp_or_zero(q[0]) + (q[1] * x).exp());
  }
  [[nodiscard]] Theta assemble(const Theta& q, const double* c) const override {
    return {log_or_zero(c[0]), log_or_zero(c[1]), q[0], q[1]};
  }
  [[nodiscard]] std::vector<double> parameters(std::span<const double> theta) const override {
    return {exp_or_zero(theta[0]), exp_or_zero(theta[1]), exp_or_zero(theta[2]), theta[3]};
  }

 private:
  std::string name_ = "rectified";
};

}  // namespace

std::unique_ptr<Law> make_rectified_law() {
  return std::make_unique<RectifiedLaw>();
}

}  // namespace finescale
