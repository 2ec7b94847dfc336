// SPDX-License-Identifier: Apache-2.0
// Lion (Chen et al. 2023): steps of one length in every element.
#include "kernels/lion.h"

#include "worker/optim/update_rule.h"

namespace finescale {

namespace {

class Lion final : public UpdateRule {
 public:
  explicit Lion(const config::Train& train)
      : UpdateRule(train),
        beta1_(train.optimizer().lion().beta1()),
        beta2_(train.optimizer().lion().beta2()) {}

  [[nodiscard]] std::vector<std::string> slots() const override { return {"m"}; }

 private:
  [[nodiscard]] LionStep settings_of(const Factors& factors) const {
    return {.learning_rate = factors.learning_rate,
            .beta1 = beta1_,
            .beta2 = beta2_,
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
    lion_update(stream, settings_of(factors), range.value, range.gradient, range.m);
  }

  double beta1_;
  double beta2_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_lion(const config::Train& train) {
  return std::make_unique<Lion>(train);
}

}  // namespace finescale
