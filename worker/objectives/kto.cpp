// SPDX-License-Identifier: Apache-2.0
// KTO (Ethayarajh et al. 2024) on pairs: how far each answer moved from the reference, r = log p -
// log p_ref, is held against the mean of the batch's answers of the other kind, z, at least 0 and
// without a gradient. Mean over answers of weight (1 - sigmoid(beta (r - z))) for chosen ones and
// weight (1 - sigmoid(beta (z - r))) for rejected ones: equation 7, as the authors' code has it for
// pairs.
#include "worker/objectives/objective.h"

namespace finescale {

namespace {

class Kto final : public Objective {
 public:
  explicit Kto(const config::Kto& config)
      : beta_(config.beta()),
        desirable_(config.desirable_weight()),
        undesirable_(config.undesirable_weight()) {}

  [[nodiscard]] bool needs_reference() const override { return true; }
  [[nodiscard]] bool needs_baseline() const override { return true; }

  [[nodiscard]] PairLoss pair_loss(const Answer& chosen, const Answer& rejected) const override {
    const double up = sigmoid(-beta_ * (chosen.log_prob - chosen.reference - chosen.baseline));
    const double down =
        sigmoid(-beta_ * (rejected.baseline - rejected.log_prob + rejected.reference));
    return {(desirable_ * up + undesirable_ * down) / 2, -desirable_ * beta_ * up * (1 - up) / 2,
            undesirable_ * beta_ * down * (1 - down) / 2};
  }

 private:
  double beta_;
  double desirable_;
  double undesirable_;
};

}  // namespace

std::unique_ptr<Objective> make_kto(const config::Kto& config) {
  return std::make_unique<Kto>(config);
}

}  // namespace finescale
