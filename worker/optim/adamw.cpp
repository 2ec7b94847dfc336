// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter 2019), with moments in full or packed.
#include "kernels/adamw.h"

#include "worker/optim/update_rule.h"

namespace finescale {

namespace {

class AdamW final : public UpdateRule {
 public:
  explicit AdamW(const config::Train& train)
      : UpdateRule(train),
        beta1_(train.betas_size() == 2 ? train.betas(0) : 0.9),
        beta2_(train.betas_size() == 2 ? train.betas(1) : 0.999),
        eps_(train.eps()) {}

  [[nodiscard]] std::vector<std::string> slots() const override { return {"m", "v"}; }

 private:
  [[nodiscard]] AdamwStep settings_of(const UpdateRange& range, const Factors& factors) const {
    return {.learning_rate = factors.learning_rate,
            .beta1 = beta1_,
            .beta2 = beta2_,
            .eps = eps_,
            .weight_decay = factors.weight_decay,
            .step = factors.step,
            .gradient_scale = factors.gradient_scale,
            .rounding_key = range.rounding_key,
            .factors = factors.in_memory};
  }
  [[nodiscard]] StepFactors<double> step_factors(const UpdateRange& range,
                                                 const Factors& factors) const override {
    return finescale::step_factors(settings_of(range, factors));
  }
  void update_range(const Stream& stream, const UpdateRange& range,
                    const Factors& factors) const override {
    const AdamwStep settings = settings_of(range, factors);
    if (range.packed) {
      adamw_update_packed(stream, settings, range.value, range.gradient, *range.packed);
    } else {
      adamw_update(stream, settings, range.value, range.gradient, range.m, range.v);
    }
  }

  double beta1_;
  double beta2_;
  double eps_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_adamw(const config::Train& train) {
  return std::make_unique<AdamW>(train);
}

}  // namespace finescale
