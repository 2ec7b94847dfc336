// SPDX-License-Identifier: Apache-2.0
// Repeated data (Muennighoff et al. 2023): L = E + A / N'^alpha + B / D'^alpha with effective sizes
//   D' = U (1 + R_D (1 - exp(-(D/U - 1) / R_D))),  N' the same with U_N = min(N, U G^2) and R_N,
//   G = (A / B)^(1 / (2 alpha)), one exponent for both as in the paper's fit.
// Internal: ln E, ln A, ln B, alpha, ln R_D, ln R_N.
#include <algorithm>
#include <cmath>

#include "coordinator/scaling/log_terms.h"
#include "coordinator/scaling/registry.h"

namespace finescale {
namespace {

constexpr int kSplits = 6;         // values of ln(U_N / U) that are tried
constexpr double kLawFar = 1e300;  // beyond every logarithm

struct Effective {
  double ln_size;         // ln of unique * (1 + r (1 - exp(-repeats / r)))
  double by_ln_unique;    // derivative with respect to ln unique, total fixed
  double by_ln_constant;  // derivative with respect to ln r
};

Effective effective_size(double total, double ln_unique, double r) {
  const double ratio = total / std::exp(ln_unique);
  const double repeats = ratio - 1;
  const double decay = std::exp(-repeats / r);
  const double gain = 1 - r * std::expm1(-repeats / r);
  return {ln_unique + std::log(gain), 1 - decay * ratio / gain,
          (-r * std::expm1(-repeats / r) - repeats * decay) / gain};
}

// q: alpha and ln R_D so far. least, most: ln(N / U) over the rows.
void add_splits(Theta q, double least, double most, std::vector<Theta>& list) {
  q[2] = std::log(5.0);
  q[3] = most + 1;  // none in excess
  list.push_back(q);
  for (const double r_size : {1.0, 5.0, 50.0}) {
    q[2] = std::log(r_size);
    for (int k = 0; k < kSplits; ++k) {
      q[3] = least - 1 + (most - least + 1) * k / (kSplits - 0.5);
      list.push_back(q);
    }
  }
}

class DataConstrainedLaw final : public Law {
 public:
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::vector<std::string> parameter_names() const override {
    return {"E", "A", "B", "alpha", "R_D", "R_N"};
  }
  [[nodiscard]] bool needs_size() const override { return true; }
  [[nodiscard]] bool needs_unique() const override { return true; }

  void evaluate(std::span<const double> theta, const LawTable& table, double* value,
                double* jacobian) const override {
    const std::size_t n = table.size();
    const double alpha = theta[3];
    const double r_data = std::exp(theta[4]);
    const double r_size = std::exp(theta[5]);
    const double two_ln_g = (theta[1] - theta[2]) / alpha;
    for (std::size_t i = 0; i < n; ++i) {
      const double unique = std::min(table.U[i], table.D[i]);
      const double ln_wanted = std::log(unique) + two_ln_g;
      const bool excess = ln_wanted < table.ln_N[i];  // more parameters than U can feed
      const Effective data = effective_size(table.D[i], std::log(unique), r_data);
      const Effective size =
          excess ? effective_size(table.N[i], ln_wanted, r_size) : Effective{table.ln_N[i], 0, 0};
      const double p = theta[1] - alpha * size.ln_size;
      const double q = theta[2] - alpha * data.ln_size;
      const double top = std::max({p, q, theta[0]});
      const double wp = std::exp(p - top);
      const double wq = std::exp(q - top);
      const double we = std::exp(theta[0] - top);
      const double sum = wp + wq + we;
      value[i] = top + std::log(sum);
      if (jacobian != nullptr) {
        // d ln U_N = (d lnA - d lnB) / alpha - two_ln_g / alpha d alpha; times -alpha in p.
        const double chain = size.by_ln_unique;
        jacobian[i] = we / sum;
        jacobian[n + i] = wp / sum * (1 - chain);
        jacobian[2 * n + i] = wq / sum + wp / sum * chain;
        jacobian[3 * n + i] =
            -wp / sum * (size.ln_size - chain * two_ln_g) - wq / sum * data.ln_size;
        jacobian[4 * n + i] = -wq / sum * alpha * data.by_ln_constant;
        jacobian[5 * n + i] = -wp / sum * alpha * size.by_ln_constant;
      }
    }
  }

  [[nodiscard]] LawBounds bounds(const LawTable& table) const override {
    LawBounds bounds;
    bound_floor(bounds, 0, table);
    bound_free_log(bounds, 1);
    bound_free_log(bounds, 2);
    bound_exponent(bounds, 3);
    for (const std::size_t i : {std::size_t{4}, std::size_t{5}}) {
      bounds.low[i] = std::log(0.01);  // repeats worth nothing
      bounds.high[i] = std::log(1e4);  // repeats as good as new data
    }
    return bounds;
  }

  // Which parameters are in excess depends on A / B. For the linear part the split itself,
  // ln(U_N / U), is a candidate; the polish then makes it agree with A / B.
  [[nodiscard]] int num_terms() const override { return 3; }
  [[nodiscard]] std::vector<Theta> candidates(const LawTable& table) const override {
    double least = kLawFar;
    double most = -kLawFar;
    for (std::size_t i = 0; i < table.size(); ++i) {
      const double ln_ratio = table.ln_N[i] - std::log(std::min(table.U[i], table.D[i]));
      least = std::min(least, ln_ratio);
      most = std::max(most, ln_ratio);
    }
    std::vector<Theta> list;
    for (const double alpha : exponent_grid()) {
      for (const double r_data : {0.3, 1.0, 4.0, 16.0, 64.0}) {
        add_splits({alpha, std::log(r_data)}, least, most, list);
      }
    }
    return list;
  }
  void terms(const Theta& q, const LawTable& table, double* columns) const override {
    const std::size_t n = table.size();
    for (std::size_t i = 0; i < n; ++i) {
      const double ln_unique = std::log(std::min(table.U[i], table.D[i]));
      const double ln_wanted = ln_unique + q[3];
      const double ln_size = ln_wanted < table.ln_N[i]
                                 ? effective_size(table.N[i], ln_wanted, std::exp(q[2])).ln_size
                                 : table.ln_N[i];
      columns[i] = 1;
      columns[n + i] = std::exp(-q[0] * ln_size);
      columns[2 * n + i] =
          std::exp(-q[0] * effective_size(table.D[i], ln_unique, std::exp(q[1])).ln_size);
    }
  }
  [[nodiscard]] Theta assemble(const Theta& q, const double* c) const override {
    return {log_or_zero(c[0]), log_or_zero(c[1]), log_or_zero(c[2]), q[0], q[1], q[2]};
  }
  [[nodiscard]] std::vector<double> parameters(std::span<const double> theta) const override {
    return {exp_or_zero(theta[0]), exp_or_zero(theta[1]), exp_or_zero(theta[2]), theta[3],
            std::exp(theta[4]),    std::exp(theta[5])};
  }

 private:
  std::string name_ = "data_constrained";
};

}  // namespace

std::unique_ptr<Law> make_data_constrained_law() {
  return std::make_unique<DataConstrainedLaw>();
}

}  // namespace finescale
