// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/adapted_model.h"

#include <utility>

#include "configs/mesh_plan.h"
#include "core/error.h"
#include "worker/base_model.h"
#include "worker/methods/linear_adapters.h"

namespace finescale {

namespace {

std::unique_ptr<Method> method_beside(const Engine& engine, BasePiece& piece,
                                      const Adapter& adapter) {
  MethodInput input{.layout = &piece.layout, .base = base_weights(engine, piece)};
  input.is_fresh = false;
  std::unique_ptr<Method> method = make_method(adapter.method, input);
  ParameterSet& set = method->trainable();
  for (int i = 0; i < set.size(); ++i) {
    const LogicalTensor& tensor = set.tensor(i);
    const auto found = adapter.apart.find(tensor.name);
    if (found == adapter.apart.end() || !(found->second.shape == tensor.shape)) {
      throw Error(ErrorKind::kData,
                  "the adapter has no tensor " + tensor.name + " of " + tensor.shape.text(), {},
                  "does the adapter belong to this model?");
    }
    fill_part(found->second.values, tensor, set.part(i), set.view(i));
  }
  method->values_changed();
  return method;
}

}  // namespace

AdaptedModel adapted_model(const Engine& engine, OpenedModel& opened, ModelUse use) {
  const bool is_apart = opened.adapter && !opened.adapter->why_apart.empty();
  const std::unique_ptr<WeightSource> weights =
      is_apart ? std::move(opened.weights) : merged_weights(opened);
  const bool reads_values = is_apart && reads_base(opened.adapter->method);
  BaseForm form;
  if (use == ModelUse::kGenerates && !reads_values) {
    form.is_bf16 = [&weights](const std::string& tensor) { return weights->is_bf16(tensor); };
  }
  AdaptedModel model;
  model.base =
      std::make_shared<BaseModel>(make_base_model(engine, weights->config(), DType::kF32, form));
  read_base(*weights, *model.base);
  for (std::size_t i = 0; is_apart && i < model.base->pieces.size(); ++i) {
    model.adapters.push_back(method_beside(engine, *model.base->pieces[i], *opened.adapter));
  }
  return model;
}

}  // namespace finescale
