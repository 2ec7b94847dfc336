// SPDX-License-Identifier: Apache-2.0
// (IA)^3 (Liu et al. 2022): outputs of projections are multiplied by learned vectors, bias
// included; of the feed-forward layer's last matrix the inputs. All start at one.
#include "core/tensor_element.h"
#include "worker/methods/adapter_method.h"

namespace finescale {

namespace {

AdapterPlan plan_of(const config::Ia3& config) {
  AdapterPlan plan;
  plan.method = "ia3";
  plan.modules = names_of(config.target_modules());
  if (plan.modules.empty()) {
    plan.modules = {"k_proj", "v_proj", "down_proj"};
  }
  plan.factor_name = "L";
  plan.on_input = [](std::string_view module) { return module == "down_proj"; };
  plan.scales_bias = true;
  return plan;
}

class Ia3Method final : public AdapterMethod {
 public:
  Ia3Method(const config::Ia3& config, const MethodInput& input)
      : AdapterMethod(input, plan_of(config)) {
    ParameterSet& set = adapters_.parameters();
    for (std::int64_t i = 0; i < set.num_elements(); ++i) {
      set_element(set.flat(), i, 1);
    }
  }
};

}  // namespace

std::unique_ptr<Method> make_ia3(const config::Ia3& config, const MethodInput& input) {
  return std::make_unique<Ia3Method>(config, input);
}

}  // namespace finescale
