// SPDX-License-Identifier: Apache-2.0
// Supervised fine-tuning: the mean negative log-likelihood of the labelled tokens, which the head
// makes together with its gradient.
#include "core/error.h"
#include "worker/objectives/objective.h"

namespace finescale {

namespace {

class Sft final : public Objective {
 public:
  [[nodiscard]] bool needs_pairs() const override { return false; }
  [[nodiscard]] PairLoss pair_loss(const Answer& /*chosen*/,
                                   const Answer& /*rejected*/) const override {
    throw Error(ErrorKind::kInternal, "supervised fine-tuning has no pairs");
  }
};

}  // namespace

std::unique_ptr<Objective> make_sft(const config::Sft& /*config*/) {
  return std::make_unique<Sft>();
}

}  // namespace finescale
