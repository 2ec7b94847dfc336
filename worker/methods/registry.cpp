// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"
#include "worker/methods/method.h"

namespace finescale {

std::unique_ptr<Method> make_method(const config::Method& config, const MethodInput& input) {
  switch (config.kind_case()) {
    case config::Method::kFull:
      return make_full(config.full(), input);
    case config::Method::kLora:
      return make_lora(config.lora(), input);
    case config::Method::kDora:
      return make_dora(config.dora(), input);
    case config::Method::kAllora:
      return make_allora(config.allora(), input);
    case config::Method::kIa3:
      return make_ia3(config.ia3(), input);
    case config::Method::kSelective:
    case config::Method::kBitfit:
      return make_selective(config, input);
    case config::Method::kQlora:
      return make_qlora(config.qlora(), input);
    case config::Method::kLift:
      return make_lift(config.lift(), input);
    case config::Method::kVera:
      return make_vera(config.vera(), input);
    case config::Method::kBottleneck:
      return make_bottleneck(config.bottleneck(), input);
    case config::Method::kPromptTuning:
      return make_prompt_tuning(config.prompt_tuning(), input);
    case config::Method::kPrefixTuning:
      return make_prefix_tuning(config.prefix_tuning(), input);
    case config::Method::KIND_NOT_SET:
      break;
  }
  throw Error(ErrorKind::kInternal, "a stage has no method: defaults were not resolved");
}

double adapter_scale(const config::Method& config) {
  if (config.has_lora()) {
    return lora_scale(config.lora());
  }
  if (config.has_dora()) {
    return dora_scale(config.dora());
  }
  return config.has_qlora() ? qlora_scale(config.qlora()) : 1;
}

std::optional<Quantisation> quantisation_of(const config::Method& config) {
  if (config.has_qlora()) {
    return qlora_quantisation(config.qlora());
  }
  return std::nullopt;
}

std::unique_ptr<Method> make_method(const config::Method& config, const ModelLayout& layout,
                                    ParameterSet& base, std::int64_t seed) {
  MethodInput input{.layout = &layout, .base = {}, .seed = seed};
  input.base.set = &base;
  base.split(base.flat(), input.base.blocks);
  input.base.change = [&base](int tensor, const BaseWeights::Put& put) {
    const TensorView values = base.view(tensor);
    put(0, values.num_elements(),
        TensorView(values.data, values.dtype, Shape{values.num_elements()}));
  };
  return make_method(config, input);
}

}  // namespace finescale
