// SPDX-License-Identifier: Apache-2.0
// Distillation (Hinton et al. 2015): the divergence of the next token's distribution from a frozen
// teacher's at the labelled tokens, forward KL(teacher || model) or reverse KL(model || teacher)
// (Gu et al. 2024), both softened by a temperature; mixed with the likelihood of the labels. The
// head makes it together with its gradient.
#include "core/error.h"
#include "worker/objectives/objective.h"

namespace finescale {

namespace {

class Distill final : public Objective {
 public:
  explicit Distill(const config::Distill& config)
      : rule_{.is_reversed = config.divergence() == config::DIVERGENCE_REVERSE,
              .temperature = config.temperature(),
              .weight = config.weight()} {}
  [[nodiscard]] bool needs_pairs() const override { return false; }
  [[nodiscard]] std::optional<DivergenceRule> divergence() const override { return rule_; }
  [[nodiscard]] PairLoss pair_loss(const Answer& /*chosen*/,
                                   const Answer& /*rejected*/) const override {
    throw Error(ErrorKind::kInternal, "distillation has no pairs");
  }

 private:
  DivergenceRule rule_;
};

}  // namespace

std::unique_ptr<Objective> make_distill(const config::Distill& config) {
  return std::make_unique<Distill>(config);
}

}  // namespace finescale
