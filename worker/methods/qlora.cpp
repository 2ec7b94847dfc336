// SPDX-License-Identifier: Apache-2.0
// QLoRA (Dettmers et al. 2023): LoRA on a base whose matrices are kept in a few bits a parameter.
// The base is made so where it is read (quantisation_of); the products dequantise it panel by
// panel.
#include "worker/methods/adapter_method.h"

namespace finescale {

namespace {

AdapterPlan plan_of(const config::Qlora& config) {
  AdapterPlan plan;
  plan.method = "qlora";
  plan.modules = names_of(config.target_modules());
  plan.rank = config.rank();
  plan.scale = qlora_scale(config);
  return plan;
}

class QloraMethod final : public AdapterMethod {
 public:
  QloraMethod(const config::Qlora& config, const MethodInput& input)
      : AdapterMethod(input, plan_of(config)) {
    if (input.is_fresh) {
      fill_a(input.seed);
    }
  }
};

QuantFormat format_of(config::QuantisedForm form) {
  switch (form) {
    case config::QUANTISED_FORM_NF4:
      return QuantFormat::kNf4;
    case config::QUANTISED_FORM_FP4:
      return QuantFormat::kFp4;
    case config::QUANTISED_FORM_INT8:
      return QuantFormat::kInt8;
    case config::QUANTISED_FORM_INT4:
      return QuantFormat::kInt4;
    case config::QUANTISED_FORM_INT3:
      return QuantFormat::kInt3;
    case config::QUANTISED_FORM_INT2:
      return QuantFormat::kInt2;
  }
  return QuantFormat::kNf4;
}

}  // namespace

double qlora_scale(const config::Qlora& config) {
  return config.alpha() / config.rank();
}

Quantisation qlora_quantisation(const config::Qlora& config) {
  return {format_of(config.base_form()), config.double_quantisation()};
}

std::unique_ptr<Method> make_qlora(const config::Qlora& config, const MethodInput& input) {
  return std::make_unique<QloraMethod>(config, input);
}

}  // namespace finescale
