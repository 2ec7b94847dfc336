// SPDX-License-Identifier: Apache-2.0
// CPO (Xu et al. 2024): -log sigmoid(beta (log p of chosen - log p of rejected)), without a
// reference, and weight * the mean negative log-likelihood of the chosen answer's tokens.
#include "worker/objectives/objective.h"

namespace finescale {

namespace {

class Cpo final : public Objective {
 public:
  explicit Cpo(const config::Cpo& config) : beta_(config.beta()), weight_(config.weight()) {}

  [[nodiscard]] PairLoss pair_loss(const Answer& chosen, const Answer& rejected) const override {
    const double x = beta_ * (chosen.log_prob - rejected.log_prob);
    const double slope = -beta_ * sigmoid(-x);
    return {-log_sigmoid(x) - weight_ * chosen.log_prob / chosen.num_tokens,
            slope - weight_ / chosen.num_tokens, -slope};
  }

 private:
  double beta_;
  double weight_;
};

}  // namespace

std::unique_ptr<Objective> make_cpo(const config::Cpo& config) {
  return std::make_unique<Cpo>(config);
}

}  // namespace finescale
