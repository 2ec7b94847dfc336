// SPDX-License-Identifier: Apache-2.0
// Direct preference optimisation (Rafailov et al. 2023) on h = (log p - log p_ref)(chosen) - the
// same of rejected: -log sigmoid(beta h), with label smoothing e its mixture with -log
// sigmoid(-beta h) (Mitchell 2023). hinge: max(0, 1 - beta h) (Liu et al. 2024). IPO (Azar et al.
// 2024): (h - 1 / (2 beta))^2 with log-probabilities by token, as the authors' implementation has
// it.
#include "worker/objectives/objective.h"

namespace finescale {

namespace {

class Dpo final : public Objective {
 public:
  explicit Dpo(const config::Dpo& config)
      : loss_(config.loss()), beta_(config.beta()), smoothing_(config.label_smoothing()) {}

  [[nodiscard]] bool needs_reference() const override { return true; }

  [[nodiscard]] PairLoss pair_loss(const Answer& chosen, const Answer& rejected) const override {
    const bool by_token = loss_ == config::DPO_LOSS_IPO;
    const double chosen_weight = by_token ? 1 / chosen.num_tokens : 1;
    const double rejected_weight = by_token ? 1 / rejected.num_tokens : 1;
    const double h = chosen_weight * (chosen.log_prob - chosen.reference) -
                     rejected_weight * (rejected.log_prob - rejected.reference);
    const auto [loss, slope] = of_margin(h);
    return {loss, slope * chosen_weight, -slope * rejected_weight};
  }

 private:
  struct Value {
    double loss, slope;
  };
  [[nodiscard]] Value of_margin(double h) const {
    const double x = beta_ * h;
    switch (loss_) {
      case config::DPO_LOSS_HINGE:
        return x < 1 ? Value{1 - x, -beta_} : Value{0, 0};
      case config::DPO_LOSS_IPO: {
        const double off = h - 1 / (2 * beta_);
        return {off * off, 2 * off};
      }
      case config::DPO_LOSS_SIGMOID:
        break;
    }
    return {-(1 - smoothing_) * log_sigmoid(x) - smoothing_ * log_sigmoid(-x),
            beta_ * (smoothing_ * sigmoid(x) - (1 - smoothing_) * sigmoid(-x))};
  }

  config::DpoLoss loss_;
  double beta_;
  double smoothing_;
};

}  // namespace

std::unique_ptr<Objective> make_dpo(const config::Dpo& config) {
  return std::make_unique<Dpo>(config);
}

}  // namespace finescale
