// SPDX-License-Identifier: Apache-2.0
// Null model: L = E + A exp(-k D). Internal: ln E, ln A, ln k.
#include <algorithm>
#include <cmath>

#include "coordinator/scaling/log_terms.h"
#include "coordinator/scaling/registry.h"

namespace finescale {
namespace {

class ExponentialLaw final : public Law {
 public:
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::vector<std::string> parameter_names() const override {
    return {"E", "A", "k"};
  }

  void evaluate(std::span<const double> theta, const LawTable& table, double* value,
                double* jacobian) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    const double k = std::exp(theta[2]);
    for_each_block(table.size(), [&](Eigen::Index first, Eigen::Index count) {
      const Block fall = k * ConstRows(table.D.data() + first, count);
      const Block falling = theta[1] - fall;
      Block sum, share;
      log_add(falling, Block::Constant(count, theta[0]), sum, share);
      Rows(value + first, count) = sum;
      if (jacobian != nullptr) {
        Rows(jacobian + first, count) = 1.0 - share;
        Rows(jacobian + n + first, count) = share;
        Rows(jacobian + 2 * n + first, count) = -share * fall;
      }
    });
  }

  [[nodiscard]] LawBounds bounds(const LawTable& table) const override {
    LawBounds bounds;
    bound_floor(bounds, 0, table);
    bound_free_log(bounds, 1);
    const auto [low, high] = std::minmax_element(table.ln_D.begin(), table.ln_D.end());
    bounds.low[2] = -*high - kNegligibleLog;
    bounds.high[2] = -*low + 3;
    return bounds;
  }

  [[nodiscard]] int num_terms() const override { return 2; }
  [[nodiscard]] std::vector<Theta> candidates(const LawTable& table) const override {
    const auto [low, high] = std::minmax_element(table.ln_D.begin(), table.ln_D.end());
    std::vector<Theta> list;
    list.reserve(16);
    for (int i = 0; i < 16; ++i) {
      list.push_back({-*high - 2 + (*high - *low + 3) * i / 15.0});
    }
    return list;
  }
  void terms(const Theta& q, const LawTable& table, double* columns) const override {
    const auto n = static_cast<Eigen::Index>(table.size());
    Rows(columns, n).setOnes();
    Rows(columns + n, n) = (-std::exp(q[0]) * ConstRows(table.D.data(), n)).exp();
  }
  [[nodiscard]] Theta assemble(const Theta& q, const double* c) const override {
    return {log_or_zero(c[0]), log_or_zero(c[1]), q[0]};
  }
  [[nodiscard]] std::vector<double> parameters(std::span<const double> theta) const override {
    return {exp_or_zero(theta[0]), exp_or_zero(theta[1]), std::exp(theta[2])};
  }

 private:
  std::string name_ = "exponential";
};

}  // namespace

std::unique_ptr<Law> make_exponential_law() {
  return std::make_unique<ExponentialLaw>();
}

}  // namespace finescale
