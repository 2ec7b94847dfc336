// SPDX-License-Identifier: Apache-2.0
// SimPO (Meng et al. 2024): -log sigmoid(beta (log p by token of chosen - that of rejected) -
// margin), without a reference.
#include "worker/objectives/objective.h"

namespace finescale {

namespace {

class Simpo final : public Objective {
 public:
  explicit Simpo(const config::Simpo& config) : beta_(config.beta()), margin_(config.margin()) {}

  [[nodiscard]] PairLoss pair_loss(const Answer& chosen, const Answer& rejected) const override {
    const double x =
        beta_ * (chosen.log_prob / chosen.num_tokens - rejected.log_prob / rejected.num_tokens) -
        margin_;
    const double slope = -beta_ * sigmoid(-x);
    return {-log_sigmoid(x), slope / chosen.num_tokens, -slope / rejected.num_tokens};
  }

 private:
  double beta_;
  double margin_;
};

}  // namespace

std::unique_ptr<Objective> make_simpo(const config::Simpo& config) {
  return std::make_unique<Simpo>(config);
}

}  // namespace finescale
