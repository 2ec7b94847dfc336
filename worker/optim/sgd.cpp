// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent with decoupled weight decay; with momentum as PyTorch has it, without
// dampening.
#include "kernels/sgd.h"

#include "worker/optim/update_rule.h"

namespace finescale {

namespace {

class Sgd final : public UpdateRule {
 public:
  explicit Sgd(const config::Train& train)
      : UpdateRule(train),
        momentum_(train.optimizer().sgd().momentum()),
        nesterov_(train.optimizer().sgd().nesterov()) {}

  [[nodiscard]] std::vector<std::string> slots() const override {
    return momentum_ > 0 ? std::vector<std::string>{"m"} : std::vector<std::string>{};
  }

 private:
  [[nodiscard]] SgdStep settings_of(const Factors& factors) const {
    return {.learning_rate = factors.learning_rate,
            .momentum = momentum_,
            .nesterov = nesterov_,
            .weight_decay = factors.weight_decay,
            .gradient_scale = factors.gradient_scale,
            .factors = factors.in_memory};
  }
  [[nodiscard]] StepFactors<double> step_factors(const UpdateRange& /*range*/,
                                                 const Factors& factors) const override {
    return finescale::step_factors(settings_of(factors));
  }
  void update_range(const Stream& stream, const UpdateRange& range,
                    const Factors& factors) const override {
    sgd_update(stream, settings_of(factors), range.value, range.gradient, range.m);
  }

  double momentum_;
  bool nesterov_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_sgd(const config::Train& train) {
  return std::make_unique<Sgd>(train);
}

}  // namespace finescale
