// SPDX-License-Identifier: Apache-2.0
// Selective fine-tuning: some tensors of the base train, chosen by name and layer; BitFit (Ben
// Zaken et al. 2022) chooses the biases. What trains is a compact copy, so that gradients, their
// sums and the optimizer's state know nothing of the rest; after an update it is written back into
// the base.
#include <cstring>

#include "configs/chosen_tensors.h"
#include "core/error.h"
#include "worker/methods/method.h"

namespace finescale {

namespace {

class SelectiveMethod final : public Method {
 public:
  SelectiveMethod(const TensorChoice& choice, const MethodInput& input)
      : base_(input.base),
        set_(base_.set->dtype(), base_.set->tensor_rank(), base_.set->tensor_size()),
        gradients_(static_cast<std::size_t>(base_.set->size())) {
    declare(choice);
    set_.allocate();
    set_.split(set_.flat(), values_);
    base_.for_each(tensors_, [&, next = 0](int tensor) mutable {
      const TensorView to = set_.view(next++);
      std::memcpy(to.data, base_.value(tensor).data, to.size_bytes());
    });
  }

  [[nodiscard]] ParameterSet& trainable() override { return set_; }
  void bind_values(const UnitBlocks& blocks) override { values_ = blocks; }
  void values_changed() override {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const TensorView from = set_.view_in(values_, static_cast<int>(i));
      const std::size_t element = dtype_size(from.dtype);
      base_.change(
          tensors_[i], [&](std::int64_t begin, std::int64_t /*end*/, const TensorView& kept) {
            std::memcpy(kept.data, from.as<std::byte>() + static_cast<std::size_t>(begin) * element,
                        kept.size_bytes());
          });
    }
  }
  const UnitBlocks& bind_gradient(const UnitBlocks& blocks) override {
    static const UnitBlocks kByTensor;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      gradients_[static_cast<std::size_t>(tensors_[i])].value =
          set_.view_in(blocks, static_cast<int>(i));
    }
    return kByTensor;
  }
  [[nodiscard]] const std::vector<TensorGradient>* gradients() const override {
    return &gradients_;
  }
  [[nodiscard]] ModelAdapters adapters() const override { return {}; }
  [[nodiscard]] const char* checkpoint_group() const override { return "/model"; }
  [[nodiscard]] bool trains_base() const override { return false; }
  [[nodiscard]] bool changes_base() const override { return true; }
  [[nodiscard]] bool trains_tensor(int tensor) const override {
    return set_.find(base_.set->tensor(tensor).name) >= 0;
  }

 private:
  // In the base's units and order. A piece of a pipeline may have none of them.
  void declare(const TensorChoice& choice) {
    const ParameterSet& base = *base_.set;
    for (int unit = 0; unit < static_cast<int>(base.units().size()); ++unit) {
      set_.begin_unit();
      for (int tensor = 0; tensor < base.size(); ++tensor) {
        const LogicalTensor& logical = base.tensor(tensor);
        if (base.unit_of(tensor) == unit && is_chosen(choice, logical.name)) {
          tensors_.push_back(tensor);
          set_.declare(logical.name, logical.shape, logical.placement);
        }
      }
    }
  }

  BaseWeights base_;
  ParameterSet set_;
  std::vector<int> tensors_;  // of the base, in the order of set_
  UnitBlocks values_;
  std::vector<TensorGradient> gradients_;  // by tensor of the base
};

}  // namespace

std::unique_ptr<Method> make_selective(const config::Method& config, const MethodInput& input) {
  const TensorChoice choice = *tensor_choice(config);
  const DecoderShape& shape = input.layout->shape();
  if (chosen_tensors(shape, choice).empty()) {
    throw Error(ErrorKind::kConfig, "the method trains no tensor of this model", "train.method",
                "choose others by name: model.norm, q_proj, mlp.*.weight");
  }
  const bool is_cut = !(input.layout->part().has_embedding && input.layout->part().has_head);
  if (is_cut && shape.tied && is_chosen(choice, "model.embed_tokens.weight")) {
    throw Error(ErrorKind::kConfig,
                "an embedding that is also the head is not chosen in a pipeline", "train.method",
                "leave embed_tokens out, or use mesh.pipeline: 1");
  }
  return std::make_unique<SelectiveMethod>(choice, input);
}

}  // namespace finescale
