// SPDX-License-Identifier: Apache-2.0
// ORPO (Hong et al. 2024): the mean negative log-likelihood of the chosen answer's tokens, and
// weight * -log sigmoid(log odds of chosen - log odds of rejected), odds = p / (1 - p) of the mean
// probability by token, p = exp(log p / tokens).
#include <algorithm>
#include <cmath>

#include "worker/objectives/objective.h"

namespace finescale {

namespace {

class Orpo final : public Objective {
 public:
  explicit Orpo(const config::Orpo& config) : weight_(config.weight()) {}

  [[nodiscard]] PairLoss pair_loss(const Answer& chosen, const Answer& rejected) const override {
    const Odds up = odds_of(chosen);
    const Odds down = odds_of(rejected);
    const double x = up.log - down.log;
    const double slope = -weight_ * sigmoid(-x);
    return {-chosen.log_prob / chosen.num_tokens - weight_ * log_sigmoid(x),
            (slope * up.slope - 1) / chosen.num_tokens, -slope * down.slope / rejected.num_tokens};
  }

 private:
  struct Odds {
    double log, slope;  // by the log-probability of a token
  };
  // log(p / (1 - p)); its slope is 1 / (1 - p). A p that rounds to one is taken as the next below.
  static Odds odds_of(const Answer& answer) {
    const double log_p = std::min(answer.log_prob / answer.num_tokens, -0x1.0p-52);
    const double rest = -std::expm1(log_p);
    return {log_p - std::log(rest), 1 / rest};
  }

  double weight_;
};

}  // namespace

std::unique_ptr<Objective> make_orpo(const config::Orpo& config) {
  return std::make_unique<Orpo>(config);
}

}  // namespace finescale
