// SPDX-License-Identifier: Apache-2.0
// ALLoRA (Huang and Balestriero 2024): y = x W^T + x A^T B^T without a scale; the step of row i of
// B is multiplied by 1 / sqrt(|B_i| + 1 / eta^2): eta out of the start at zero, less as the row
// grows. The factor acts on the step, behind the update rule: AdamW would divide it out of a
// gradient. A's rows are not scaled, their lengths hardly leave where they start.
#include <cmath>

#include "core/tensor_element.h"
#include "worker/methods/adapter_method.h"

namespace finescale {

namespace {

AdapterPlan plan_of(const config::Allora& config) {
  AdapterPlan plan;
  plan.method = "allora";
  plan.modules = names_of(config.target_modules());
  plan.rank = config.rank();
  plan.scale = 1;
  return plan;
}

class AlloraMethod final : public AdapterMethod {
 public:
  AlloraMethod(const config::Allora& config, const MethodInput& input)
      : AdapterMethod(input, plan_of(config)),
        floor_(1 / (config.eta() * config.eta())),
        rows_(static_cast<std::size_t>(trainable().size())) {
    for (const LinearAdapters::Target& target : adapters_.targets()) {
      rows_[static_cast<std::size_t>(target.b)].resize(
          static_cast<std::size_t>(trainable().local_shape(target.b)[0]));
    }
    if (input.is_fresh) {
      fill_a(input.seed);
    }
    values_changed();
  }

  // Rows of B are whole on the ranks that hold them.
  void values_changed() override {
    for (const LinearAdapters::Target& target : adapters_.targets()) {
      const TensorView b = adapters_.value(target.b);
      std::vector<double>& factors = rows_[static_cast<std::size_t>(target.b)];
      for (std::size_t row = 0; row < factors.size(); ++row) {
        double squares = 0;
        for (std::int64_t i = 0; i < b.cols(); ++i) {
          const std::int64_t at = static_cast<std::int64_t>(row) * b.cols() + i;
          const double value = element(b, at);
          squares += value * value;
        }
        factors[row] = 1 / std::sqrt(std::sqrt(squares) + floor_);
      }
    }
  }

  [[nodiscard]] StepScale step_scale(int tensor) const override {
    return {.rows = rows_[static_cast<std::size_t>(tensor)]};
  }

 private:
  double floor_;
  std::vector<std::vector<double>> rows_;  // by tensor; empty: A
};

}  // namespace

std::unique_ptr<Method> make_allora(const config::Allora& config, const MethodInput& input) {
  return std::make_unique<AlloraMethod>(config, input);
}

}  // namespace finescale
