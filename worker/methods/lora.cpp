// SPDX-License-Identifier: Apache-2.0
// LoRA (Hu et al. 2021): y = x W^T + s x A^T B^T, s = alpha / r. A starts kaiming-uniform(a = sqrt
// 5), B at zero. rsLoRA (Kalajdzievski 2023): s = alpha / sqrt(r). LoRA+ (Hayou et al. 2024): B
// learns faster than A. PiSSA (Meng et al. 2024): A and B start as the r largest singular
// directions of W and W - s B A stays frozen; here as a second, frozen branch -s x A0^T B0^T beside
// W, which so stays shared and as it was.
#include <cmath>

#include "worker/methods/adapter_method.h"
#include "worker/methods/singular_values.h"

namespace finescale {

namespace {

AdapterPlan plan_of(const config::Lora& config) {
  AdapterPlan plan;
  plan.method = "lora";
  plan.modules = names_of(config.target_modules());
  plan.rank = config.rank();
  plan.scale = lora_scale(config);
  plan.has_frozen_branch = config.init() == config::LORA_INIT_PISSA;
  return plan;
}

class LoraMethod final : public AdapterMethod {
 public:
  LoraMethod(const config::Lora& config, const MethodInput& input)
      : AdapterMethod(input, plan_of(config)), b_rate_(config.b_rate()) {
    is_b_.resize(static_cast<std::size_t>(trainable().size()));
    for (const LinearAdapters::Target& target : adapters_.targets()) {
      is_b_[static_cast<std::size_t>(target.b)] = true;
    }
    if (!input.is_fresh) {
      return;
    }
    if (config.init() == config::LORA_INIT_PISSA) {
      start_from_base(input.base);
    } else {
      fill_a(input.seed);
    }
  }

  [[nodiscard]] StepScale step_scale(int tensor) const override {
    return {.rate = is_b_[static_cast<std::size_t>(tensor)] ? b_rate_ : 1};
  }

 private:
  // W ~ U S V^T: B = U sqrt(S / s), A = sqrt(S / s) V^T, of the whole matrix on every rank.
  void start_from_base(const BaseWeights& base) {
    std::size_t next = 0;
    base.for_each(adapters_.bases(), [&](int index) {
      const LinearAdapters::Target& target = adapters_.targets()[next++];
      const Shape& shape = base.set->tensor(index).shape;
      LowRankFactors factors =
          principal_factors(whole_tensor(base, index), shape[0], shape[1], plan_.rank);
      const double root = 1 / std::sqrt(plan_.scale);
      for (std::vector<double>* values : {&factors.left, &factors.right}) {
        for (double& value : *values) {
          value *= root;
        }
      }
      const auto fill = [](ParameterSet& set, int tensor, const std::vector<double>& values) {
        fill_part(values, set.tensor(tensor), set.part(tensor), set.view(tensor));
      };
      fill(adapters_.parameters(), target.a, factors.right);
      fill(adapters_.parameters(), target.b, factors.left);
      fill(adapters_.constants(), target.frozen_a, factors.right);
      fill(adapters_.constants(), target.frozen_b, factors.left);
    });
  }

  double b_rate_;
  std::vector<bool> is_b_;
};

}  // namespace

double lora_scale(const config::Lora& config) {
  const double rank = config.rank();
  return config.alpha() / (config.scale() == config::LORA_SCALE_ROOT ? std::sqrt(rank) : rank);
}

std::unique_ptr<Method> make_lora(const config::Lora& config, const MethodInput& input) {
  return std::make_unique<LoraMethod>(config, input);
}

}  // namespace finescale
